/** Differences that stay, as a line of the comparison with its reason. */
export const KNOWN_DIFFERENCES: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  {
    pattern: /^history\.\d+: "HEALTHCHECK \{Test:.* <> "HEALTHCHECK &\{/,
    reason:
      'since 0.26 BuildKit writes the fields of a health check by their names; the recorded one is older',
  },
];
