/** A replica remembers no change, so that it cannot tell what a failover has lost. */
import { HistoryMemory } from '../../../dist/src/replicas/failover/history-memory.js';

HistoryMemory.prototype.note = () => undefined;
HistoryMemory.prototype.noteOlder = () => undefined;
