/** A change may be silent for as long as it likes: what it has locked stays locked. */
import { OpenTransaction } from '../../../dist/src/database/transaction.js';

const { begin } = OpenTransaction.prototype;

OpenTransaction.prototype.begin = function beginWithoutBound(bounds) {
  return begin.call(this, { ...bounds, idleMs: 0 });
};
