/** A repository or URL stays as it is. */
export function isRemote(context: string): boolean {
  return /^(https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(context);
}
