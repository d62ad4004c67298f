/** A replica takes the time of day from the clock of its host. */
import { Clock } from '../../../dist/src/common/clock.js';

Clock.prototype.observe = () => undefined;
