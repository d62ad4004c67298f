import { ActionIcon, Group, Menu, Pagination, Text } from '@mantine/core';
import { count } from './format';
import { plural } from './words';

const SIZES = [10, 25, 50, 100];
/** Beyond this the API wants a narrower list. */
export const LAST_ROW = 10_000;

/** Page numbers, how many there are, and how many a page shows. */
export function Pages({
  meta,
  size,
  onPage,
  onSize,
}: {
  meta: { total: number; page: number | null; totalIsCapped: boolean };
  size: number;
  onPage: (page: number) => void;
  onSize?: (size: number) => void;
}) {
  const pages = Math.max(1, Math.min(Math.ceil(meta.total / size), Math.floor(LAST_ROW / size)));
  return (
    <Group justify="space-between" gap="xs">
      <Text size="sm" c="dimmed">
        {meta.totalIsCapped
          ? `More than ${count(meta.total)}; narrow the list to see the rest`
          : `${count(meta.total)} ${plural(meta.total, 'entry', 'entries')}`}
      </Text>
      <Group gap="xs">
        {onSize && (
          <Menu>
            <Menu.Target>
              <ActionIcon variant="default" size="sm" w="auto" px={8} aria-label={`${size} a page; change`}>
                <Text size="xs">{size} a page</Text>
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              {SIZES.map((one) => (
                <Menu.Item key={one} onClick={() => onSize(one)}>
                  {one} a page
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
        )}
        {pages > 1 && (
          <Pagination
            size="sm"
            total={pages}
            value={meta.page ?? 1}
            onChange={onPage}
            getControlProps={(control) => ({
              'aria-label': { first: 'First page', previous: 'Previous page', next: 'Next page', last: 'Last page' }[
                control
              ],
            })}
            getItemProps={(page) => ({ 'aria-label': `Page ${page}` })}
          />
        )}
      </Group>
    </Group>
  );
}
