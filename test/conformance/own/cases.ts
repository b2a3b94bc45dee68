import { ADD_CASES } from './add.cases.js';
import type { OwnCase } from './case.js';
import { COPY_CASES } from './copy.cases.js';
import { HEREDOC_CASES } from './heredocs.cases.js';
import { IGNORE_CASES } from './ignore.cases.js';
import { METADATA_CASES } from './metadata.cases.js';
import { PARSING_CASES } from './parsing.cases.js';
import { PLATFORM_CASES } from './platforms.cases.js';
import { RUN_CASES } from './run.cases.js';
import { STAGE_CASES } from './stages.cases.js';
import { VARIABLE_CASES } from './variables.cases.js';

export const OWN_CASES: readonly OwnCase[] = [
  ...PARSING_CASES,
  ...HEREDOC_CASES,
  ...VARIABLE_CASES,
  ...IGNORE_CASES,
  ...COPY_CASES,
  ...ADD_CASES,
  ...METADATA_CASES,
  ...RUN_CASES,
  ...STAGE_CASES,
  ...PLATFORM_CASES,
];
