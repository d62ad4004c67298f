/** No start knows that fingerprints were recorded: it goes on with whatever secrets it has, if the chain lets it. */
import { InstallationRepository } from '../../../dist/src/installation/installation.repository.js';

InstallationRepository.prototype.findId = () => Promise.resolve(null);
