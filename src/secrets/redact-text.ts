/** A text without the passwords and tokens of its URLs; the user of an ssh address stays. */
export function redactUrls(text: string): string {
  return text.replace(
    /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/@"'<>]+)@/gi,
    (_, scheme: string, userinfo: string) => {
      if (!/ssh:\/\/$/i.test(scheme)) return `${scheme}***@`;
      const colon = userinfo.indexOf(':');
      return colon < 0 ? `${scheme}${userinfo}@` : `${scheme}${userinfo.slice(0, colon)}:***@`;
    },
  );
}
