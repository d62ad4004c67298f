#!/usr/bin/env node
/**
 * Checks the protocols of budgets and revocation exhaustively for small bounds, with Spin. The base models must
 * verify; every mutant must fail: one that passes means that the model has lost its teeth.
 * Needs `spin` and `gcc`; about two minutes, one core, under 1 GB. Exit 0 = all as expected, 1 = not, 2 = not run.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const MODELS = {
  budget: { verify: ['', 'LATE'], fail: ['NOFENCE', 'NOGRACE', 'NOIDEM', 'CRASHREFILL', 'TOCTOU', 'REFUNDTWICE'] },
  parts: { verify: [''], fail: ['PARTSFIRST', 'STALECLOSE', 'STALEFOLD', 'SETTLEUNLOCKED'] },
  revoke: { verify: [''], fail: ['NOGUARD', 'EVICTFIRST', 'READREPLICA', 'NOFRESH'] },
};

const missing = ['spin', 'gcc'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
if (missing.length > 0) {
  console.error(`NOT RUN: ${missing.join(' and ')} missing. The protocol models were not checked.`);
  console.error('Install them (Debian: apt-get install -y spin gcc) and run this again.');
  process.exit(2);
}

const directory = mkdtempSync(join(tmpdir(), 'latchkey-model-'));
let isAsExpected = true;
try {
  for (const [model, { verify, fail }] of Object.entries(MODELS)) {
    for (const variant of verify) check(model, variant, true);
    for (const variant of fail) check(model, variant, false);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exit(isAsExpected ? 0 : 1);

function check(model, variant, mustVerify) {
  const result = explore(model, variant);
  const isRight = result !== null && (result.errors === 0) === mustVerify;
  isAsExpected &&= isRight;
  const found = result === null ? 'did not build' : `${result.errors} errors, ${result.states} states`;
  console.log(
    `${isRight ? 'ok  ' : 'FAIL'} ${model} ${variant || 'base'} (must ${mustVerify ? 'verify' : 'fail'}): ${found}`,
  );
}

/** Gives null unless the search ran to its end or to an error. */
function explore(model, variant) {
  cpSync(new URL(`${model}.pml`, import.meta.url), join(directory, `${model}.pml`));
  const run = (tool, ...args) => spawnSync(tool, args, { cwd: directory, encoding: 'utf8', timeout: 600_000 });
  if (run('spin', '-a', ...(variant ? [`-D${variant}`] : []), `${model}.pml`).status !== 0) return null;
  if (run('gcc', '-O2', '-DSAFETY', '-DCOLLAPSE', '-w', '-o', 'pan', 'pan.c').status !== 0) return null;
  const { stdout } = run('./pan', '-E', '-m400000');
  const errors = /errors: (\d+)/.exec(stdout ?? '');
  const states = /([\d.e+]+) states, stored/.exec(stdout ?? '');
  if (errors === null || states === null) return null;
  // A search cut short by its depth or memory has verified nothing.
  if (errors[1] === '0' && /max search depth too small|out of memory/.test(stdout)) return null;
  return { errors: Number(errors[1]), states: states[1] };
}
