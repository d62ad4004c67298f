/** Requests of one principal are neither counted nor made to take turns. */
import { ManagementGate } from '../../../dist/src/access/management-gate.js';
import { Lane } from '../../../dist/src/common/lane.js';

ManagementGate.prototype.count = () => undefined;
Lane.prototype.enter = () => () => undefined;
