/** Which Dockerfiles a rule is asked about: all, those that opt in to experiments, or those that opt in to tsbuild's own set. */
export type RuleSet = 'standard' | 'experimental' | 'extra';

interface Rule {
  readonly set: RuleSet;
  /** One sentence; the page of the rule says more. */
  readonly summary: string;
}

const standard = (summary: string): Rule => ({ set: 'standard', summary });
const extra = (summary: string): Rule => ({ set: 'extra', summary });

/** All rules by name. The standard ones have BuildKit's names and triggers. Each has its page in docs/rules. */
export const RULES = {
  ConsistentInstructionCasing: standard('All instructions of a Dockerfile should have the same casing'),
  CopyIgnoredFile: standard('COPY or ADD of a file that .dockerignore excludes'),
  DuplicateStageName: standard('Stage names should be unique'),
  ExposeInvalidFormat: standard('EXPOSE takes no IP address and no host port'),
  ExposeProtoCasing: standard('The protocol of EXPOSE should be lowercase'),
  FromAsCasing: standard("The 'as' keyword should match the case of the 'from' keyword"),
  FromPlatformFlagConstDisallowed: standard('FROM --platform should not have a constant value'),
  InvalidBaseImagePlatform: standard('The base image has another platform than the build'),
  InvalidDefaultArgInFrom: standard('The defaults of the global ARGs give no valid base image name'),
  InvalidDefinitionDescription: {
    set: 'experimental',
    summary: 'A comment above FROM or ARG should start with the name that it describes',
  },
  JSONArgsRecommended: standard('JSON arguments let ENTRYPOINT and CMD receive signals'),
  LegacyKeyValueFormat: standard('ENV and LABEL should be written as name=value'),
  MaintainerDeprecated: standard('MAINTAINER is deprecated in favor of a label'),
  MultipleInstructionsDisallowed: standard('Only the last CMD, ENTRYPOINT or HEALTHCHECK of a stage counts'),
  NoEmptyContinuation: standard('Empty lines inside a continuation will become errors'),
  RedundantTargetPlatform: standard('FROM --platform=$TARGETPLATFORM is the default'),
  ReservedStageName: standard('"scratch" and "context" should not be names of stages'),
  SecretsUsedInArgOrEnv: standard('Secrets should not be in ARG or ENV'),
  StageNameCasing: standard('Stage names should be lowercase'),
  UndefinedArgInFrom: standard('FROM uses an ARG that is not declared'),
  UndefinedVar: standard('A variable should be defined before its use'),
  WorkdirRelativePath: standard('A relative WORKDIR before any absolute one depends on the base image'),

  AddInsteadOfCopy: extra('COPY does the same as this ADD, and nothing else'),
  AptListsKept: extra('The package lists of apt-get update stay in the layer'),
  AptRecommendedPackages: extra('apt-get install without --no-install-recommends'),
  CdInsteadOfWorkdir: extra('A cd at the end of a RUN has no effect on the next instruction'),
  ChownStoresTwice: extra('RUN chown -R or chmod -R stores every file a second time'),
  SecretValueInEnv: extra('The value of an ENV or ARG looks like a secret'),
  SeveralSourcesOneFile: extra('Several sources are copied to the same file, and only the last one stays'),
  SudoInRun: extra('sudo in RUN'),
  UnpinnedBaseImage: extra('The base image has no tag, or the tag latest'),
} as const satisfies Record<string, Rule>;

export type RuleName = keyof typeof RULES;

/** Where the page of a rule is, from the root of the package. */
export function rulePage(rule: string): string {
  return `docs/rules/${rule}.md`;
}
