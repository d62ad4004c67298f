/** What is appended to the trail and COMMIT take a round trip each, with the head row locked. */
import { OpenTransaction } from '../../../dist/src/database/transaction.js';

const { commit } = OpenTransaction.prototype;

OpenTransaction.prototype.commit = async function commitLater(last) {
  if (last !== undefined) for (const statement of [last, 'SELECT 1']) await this.client.query(statement);
  return commit.call(this);
};
