import { Switch, TagsInput } from '@mantine/core';
import type { KeyPolicy } from '../../../src/access/key-policy.js';

/** Bounds that new keys get no value from. */
export interface OtherBounds {
  reservedTagPrefixes: string[];
  mustBelongToProject: boolean;
}

/** As the form begins with them. */
export function otherBoundsFrom(policy: KeyPolicy | null): OtherBounds {
  return {
    reservedTagPrefixes: [...(policy?.reservedTagPrefixes ?? [])],
    mustBelongToProject: policy?.mustBelongToProject ?? false,
  };
}

/** As a policy states them: what bounds nothing is left out. */
export function otherBoundsOf({ reservedTagPrefixes, mustBelongToProject }: OtherBounds): Partial<OtherBounds> {
  return {
    ...(reservedTagPrefixes.length === 0 ? {} : { reservedTagPrefixes }),
    ...(mustBelongToProject ? { mustBelongToProject } : {}),
  };
}

/** Their fields; the props are those that the form gives. */
export function OtherBoundsFields({ tags, project }: { tags: object; project: object }) {
  return (
    <>
      <TagsInput
        label="Reserved tags"
        description="Prefixes of tags that only people who may change any key can set, such as plan:"
        {...tags}
      />
      <Switch
        label="Keys belong to a project"
        description="A new key belongs to a project of its creator, and can only be moved to another project"
        {...project}
      />
    </>
  );
}
