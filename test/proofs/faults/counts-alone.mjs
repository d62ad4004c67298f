/** A replica does not hear of what the others have counted. */
import { SignInCountsRepository } from '../../../dist/src/users/sign-in-counts.repository.js';

SignInCountsRepository.prototype.find = () => Promise.resolve([]);

const { add } = SignInCountsRepository.prototype;
SignInCountsRepository.prototype.add = async function addUnheard(counters, accounts) {
  await add.call(this, counters, accounts);
  return [];
};
