// Preloaded by tests: writes which modules a process had loaded when it ended.
import { writeFileSync } from 'node:fs';
import Module from 'node:module';

process.on('exit', () => {
  if (process.env.LOADED_MODULES) writeFileSync(process.env.LOADED_MODULES, Object.keys(Module._cache).join('\n'));
});
