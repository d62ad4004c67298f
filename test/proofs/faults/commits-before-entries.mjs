/** A change commits first; its entries are written afterwards, and where that fails nobody is told. */
import { OpenTransaction } from '../../../dist/src/database/transaction.js';

const { commit } = OpenTransaction.prototype;

OpenTransaction.prototype.commit = async function commitFirst(last) {
  await commit.call(this);
  if (last !== undefined) await this.client.query(last).catch(() => undefined);
};
