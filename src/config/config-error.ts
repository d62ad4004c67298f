import { StartRefusal } from '../common/start-refusal.js';

/** A boot that must not go on. The message names variables, never their values. */
export class ConfigError extends StartRefusal {
  override readonly name = 'ConfigError';
}
