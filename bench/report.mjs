import { cpus, totalmem } from 'node:os';
import { mkdir, writeFile } from 'node:fs/promises';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Prints a table and writes `bench/results/<name>.json`. */
export async function report(name, rows) {
  const machine = { cpu: cpus()[0].model.trim(), cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30), node: process.version };
  console.log(`\n${name}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GiB, Node ${machine.node}`);
  for (const { figure, value, unit, reach = '', requestsPerSecond, rounds } of rows) {
    const detail = [requestsPerSecond === undefined ? '' : `${requestsPerSecond}/s`, rounds === undefined ? '' : `rounds ${rounds.join(' ')}`].filter(Boolean).join(', ');
    console.log(`  ${figure.padEnd(70)} ${String(value).padStart(9)} ${unit.padEnd(16)} ${reach.padEnd(8)} ${detail}`);
  }
  const directory = new URL('results/', import.meta.url);
  await mkdir(directory, { recursive: true });
  await writeFile(new URL(`${name}.json`, directory), `${JSON.stringify({ at: new Date().toISOString(), machine, rows }, null, 2)}\n`);
}
