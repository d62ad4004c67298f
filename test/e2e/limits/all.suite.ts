import { loadSpecs } from '../../support/specs.js';

await loadSpecs(import.meta.dirname);
