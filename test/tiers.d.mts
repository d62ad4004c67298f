export declare const TIER_VARIABLE: 'TEST_TIER';
export interface SlowGroup {
  readonly name: string;
  readonly why: string;
  readonly tests: readonly string[];
  readonly keeps: readonly string[];
  readonly sources: readonly string[];
}
export declare const SLOW_GROUPS: readonly SlowGroup[];
export declare const ON_OLDEST: { readonly tests: readonly string[]; readonly leaves: readonly string[] };
export declare const DIVIDED: readonly string[];
export declare function foldersWith(folder: string): readonly string[];
export declare function slowGroupsOf(file: string): string[];
export declare function isFileInTier(file: string, tier?: string): boolean;
export declare function ofTier<T>(list: readonly T[], quickOnes?: number, tier?: string): readonly T[];
export declare function tierOfChanges(): string;
export declare function changedFiles(): string[];
export declare function changedSources(ending: RegExp): string[] | null;
export declare function groupsFor(files: readonly string[]): string[];
