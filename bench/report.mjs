import { cpus, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The version of a peer that was measured; bench/package.json pins it. */
export function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

/** The value below which `part` (0 to 1) of the values lie. */
export function percentile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)];
}

/** Prints a table and writes `bench/results/<name>.json`; `run` says more about the run as a whole. */
export async function report(name, rows, run = {}) {
  const machine = {
    cpu: cpus()[0].model.trim(),
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
  console.log(`\n${name}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GiB, Node ${machine.node}`);
  for (const { figure, value, unit, reach = '', requestsPerSecond, rounds, p99Ms, detail: more } of rows) {
    const detail = [
      requestsPerSecond === undefined ? '' : `${requestsPerSecond}/s`,
      p99Ms === undefined ? '' : `p99 ${p99Ms} ms`,
      rounds === undefined ? '' : `rounds ${rounds.join(' ')}`,
      more ?? '',
    ]
      .filter(Boolean)
      .join(', ');
    console.log(`  ${figure.padEnd(70)} ${String(value).padStart(9)} ${unit.padEnd(16)} ${reach.padEnd(8)} ${detail}`);
  }
  const directory = new URL('results/', import.meta.url);
  await mkdir(directory, { recursive: true });
  await writeFile(
    new URL(`${name}.json`, directory),
    `${JSON.stringify({ at: new Date().toISOString(), machine, ...run, rows }, null, 2)}\n`,
  );
}
