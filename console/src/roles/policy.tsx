import { Fieldset, Stack, Switch, TagsInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { settings } from '../settings';
import { OtherBoundsFields } from './other-bounds';
import { PolicyLimits } from './policy-limits';
import type { RoleDraft } from './role-draft';

type RoleFormOf = Pick<UseFormReturnType<RoleDraft>, 'getValues' | 'setFieldValue' | 'setValues' | 'getInputProps'>;

interface PolicyProps {
  form: RoleFormOf;
  errors: Readonly<Record<string, string>>;
}

/** The bounds that a role sets to the keys of its holders, and what it fills in for new ones. */
export function Policy({ form, errors }: PolicyProps) {
  const draft = form.getValues();
  const error = (field: string) => errors[`keyPolicy.${field}`];
  return (
    <Stack gap="sm">
      <SwitchedTags
        form={form}
        label="Only these scopes"
        isOn="boundsScopes"
        tags="scopes"
        tagsLabel="Scopes keys may have"
        description="Exact or with *; empty: none at all"
        error={error('scopes')}
      />
      <SwitchedTags
        form={form}
        label="Only these models"
        isOn="boundsModels"
        tags="models"
        tagsLabel="Models keys may call"
        description="Exact or with *, such as gpt-4o*"
        error={error('models')}
      />
      <PolicyLimits
        empty="no bound"
        values={draft}
        fields={{
          perMinute: { label: 'At most in a minute', error: error('maxRateLimitPerMinute') },
          perHour: { label: 'At most in an hour', error: error('maxRateLimitPerHour') },
          perDay: { label: 'At most in a day', error: error('maxRateLimitPerDay') },
          budget: { label: `Highest budget in ${settings.currency}`, error: error('maxBudgetLimitCents') },
          budgetType: { label: 'Budget counted', error: error('budgetType') },
          heldTokens: { label: 'Most tokens held unasked', error: error('maxDefaultReserveTokens') },
          validityDays: { label: 'Longest validity', error: error('maxValidityDays') },
        }}
        onChange={form.setValues}
      />
      <OtherBoundsFields
        tags={{ ...form.getInputProps('reservedTagPrefixes'), error: error('reservedTagPrefixes') }}
        project={form.getInputProps('mustBelongToProject', { type: 'checkbox' })}
      />
      <Switch
        label="Fill in new keys"
        description="Values for fields of a new key that its creator leaves empty. A field without a value here gets its bound"
        {...form.getInputProps('hasDefaults', { type: 'checkbox' })}
      />
      {draft.hasDefaults && <Defaults form={form} errors={errors} />}
    </Stack>
  );
}

interface SwitchedTagsProps {
  form: RoleFormOf;
  label: string;
  /** The form's field that says whether there is a list. */
  isOn: string;
  /** The form's field of the list. */
  tags: string;
  tagsLabel: string;
  description: string;
  error: string | undefined;
}

/** A list that counts, also when it is empty, once its switch is set. */
function SwitchedTags({ form, label, isOn, tags, tagsLabel, description, error }: SwitchedTagsProps) {
  const { checked, ...input } = form.getInputProps(isOn, { type: 'checkbox' }) as { checked: boolean };
  return (
    <>
      <Switch label={label} checked={checked} {...input} />
      {checked && (
        <TagsInput aria-label={tagsLabel} description={description} {...form.getInputProps(tags)} error={error} />
      )}
    </>
  );
}

function Defaults({ form, errors }: PolicyProps) {
  const { defaults } = form.getValues();
  const error = (field: string) => errors[`keyPolicy.defaults.${field}`];
  return (
    <Fieldset legend="Filled in" variant="filled">
      <Stack gap="sm">
        <SwitchedTags
          form={form}
          label="Fill in scopes"
          isOn="defaults.fillsScopes"
          tags="defaults.scopes"
          tagsLabel="Scopes a new key gets"
          description="Empty: none"
          error={error('scopes')}
        />
        <SwitchedTags
          form={form}
          label="Fill in models"
          isOn="defaults.fillsModels"
          tags="defaults.models"
          tagsLabel="Models a new key gets"
          description="Empty: any"
          error={error('allowedModels')}
        />
        <PolicyLimits
          empty="not filled in"
          values={defaults}
          fields={{
            perMinute: { label: 'Limit in a minute', error: error('rateLimitPerMinute') },
            perHour: { label: 'Limit in an hour', error: error('rateLimitPerHour') },
            perDay: { label: 'Limit in a day', error: error('rateLimitPerDay') },
            budget: { label: `Budget in ${settings.currency}`, error: error('budgetLimitCents') },
            budgetType: { label: 'Default counted', error: error('budgetType') },
            heldTokens: { label: 'Tokens held unasked', error: error('defaultReserveTokens') },
            validityDays: { label: 'Validity', error: error('validityDays') },
          }}
          onChange={(changes) => form.setFieldValue('defaults', { ...defaults, ...changes })}
        />
      </Stack>
    </Fieldset>
  );
}
