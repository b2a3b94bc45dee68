export { build } from './build.js';
export { buildTargets, type TargetBuild } from './bake.js';
export { checkBuild, describeDefinition, listTargets, outlineBuild } from './describe.js';
export {
  imageHistory,
  importImage,
  inspectImage,
  listImages,
  loadImages,
  pullImage,
  pushImage,
  removeImage,
  saveImages,
  tagImage,
} from './images.js';
export { diskUsage, pruneStore } from './disk.js';
export { examineMachine, examineStore } from './doctor.js';
export { runImage } from './run.js';
export { debugStep, listFailed } from './debug.js';
export type { DebugOptions, FailedStepSummary } from './debug.js';
export type { Damage, ExamineStoreOptions, MachineReport, StoreCheck } from './doctor.js';
export type { DiskUsage, PruneOptions, PruneResult } from './disk.js';
export type { CheckResult, TargetDescription } from './describe.js';
export type { DefinitionDocument, TargetHead, VertexDescription } from './definition-document.js';
export type { Outline } from './frontend/outline.js';
export { BuildError, StepFailures, type ErrorCode, type SourceLocation } from './errors.js';
export type { BuildOptions, BuildResult, BuildStats, StoreOptions } from './options.js';
export type { Change, Explanation } from './explanation.js';
export type { BuiltPlatform, OutputSpec } from './exporter/output-spec.js';
export type { ProgressEvent, ProgressListener, WarningEvent } from './progress.js';
export type { Descriptor } from './oci/descriptor.js';
export type { Digest } from './oci/digest.js';
export type { Platform } from './oci/platform.js';
