/**
 * `node --import ./test/support/register-typescript.mjs file.ts`, or an import before a dynamic import of TypeScript.
 */
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
