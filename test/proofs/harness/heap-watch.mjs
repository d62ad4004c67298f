/**
 * Loaded into a server: on SIGUSR2 it collects garbage and writes what is left alive on standard error. The product has
 * no switch for it.
 */
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  // What the first collection has finalised is let go of by the second.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.stderr.write(`HEAP ${heapUsed + external}\n`);
});
