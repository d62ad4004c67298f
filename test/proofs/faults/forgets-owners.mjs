/** Owning keys counts for nothing when a user is changed. */
import { KeyOwners } from '../../../dist/src/api-keys/key-owners.js';

KeyOwners.prototype.actedForBy = async () => [];
