import { ActionIcon, Button, Fieldset, Group, Stack, Text, TextInput } from '@mantine/core';
import type { UseFormReturnType } from '@mantine/form';
import { Icon } from '../ui/icons';
import type { KeyDraft } from './key-draft';

/** Names and values that its maker gives a key. */
export function MetadataFieldset({ form }: { form: UseFormReturnType<KeyDraft> }) {
  return (
    <Fieldset legend="Metadata">
      <Stack gap="xs">
        <Text size="sm" c="dimmed">
          Names and values that every verdict on this key carries.
        </Text>
        {form.getValues().metadata.map((_, index) => (
          <Group key={index} gap="xs" wrap="nowrap">
            <TextInput
              aria-label={`Name of entry ${index + 1}`}
              placeholder="name"
              style={{ flex: 1 }}
              {...form.getInputProps(`metadata.${index}.name`)}
            />
            <TextInput
              aria-label={`Value of entry ${index + 1}`}
              placeholder="value"
              style={{ flex: 2 }}
              {...form.getInputProps(`metadata.${index}.value`)}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={`Remove entry ${index + 1}`}
              onClick={() => form.removeListItem('metadata', index)}
            >
              <Icon name="close" size={15} />
            </ActionIcon>
          </Group>
        ))}
        {form.errors['metadata'] && (
          <Text size="xs" c="red">
            {form.errors['metadata']}
          </Text>
        )}
        <Group>
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => form.insertListItem('metadata', { name: '', value: '' })}
          >
            Add an entry
          </Button>
        </Group>
      </Stack>
    </Fieldset>
  );
}
