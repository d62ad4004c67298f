import { createRequire } from 'node:module';
import { join } from 'node:path';
import ts from 'typescript';

/** A manifest as YAML gives it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
  readonly [member: string]: unknown;
}

/** Where `kubernetes-types` declares the objects of an API group. */
const MODULES: Record<string, string> = {
  v1: 'core/v1',
  'apps/v1': 'apps/v1',
  'batch/v1': 'batch/v1',
  'policy/v1': 'policy/v1',
  'autoscaling/v2': 'autoscaling/v2',
  'networking.k8s.io/v1': 'networking/v1',
};

const TYPES = join(createRequire(import.meta.url).resolve('kubernetes-types/package.json'), '..');
const FILE = join(import.meta.dirname, 'manifests-of-this-test.ts');

/** Whether the API's types have objects of this kind; those of operators they have not. */
export function hasType({ apiVersion }: Manifest): boolean {
  return apiVersion in MODULES;
}

/**
 * What is wrong with manifests by the types that are generated from the API's schema: members that it does not know,
 * that are missing, or are of another type. Types rather than JSON schema, because the API's schema takes unknown
 * members.
 */
export function typeProblems(manifests: readonly Manifest[]): string[] {
  const source = manifests
    .map((manifest, at) => {
      const type = `import('${TYPES}/${MODULES[manifest.apiVersion]}').${manifest.kind}`;
      return `export const manifest${at}: ${type} = ${JSON.stringify(manifest)};`;
    })
    .join('\n');
  const options: ts.CompilerOptions = {
    noEmit: true,
    strict: true,
    types: [],
    lib: ['lib.es2023.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    skipLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  const fileExists = host.fileExists.bind(host);
  host.fileExists = (name) => name === FILE || fileExists(name);
  host.getSourceFile = (name, ...more) =>
    name === FILE ? ts.createSourceFile(name, source, more[0]) : getSourceFile(name, ...more);
  const program = ts.createProgram([FILE], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const at = file?.fileName === FILE ? file.getLineAndCharacterOfPosition(start!).line : -1;
    const { kind, metadata } = manifests[at] ?? { kind: 'types', metadata: { name: file?.fileName ?? '' } };
    return `${kind} ${metadata.name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
