import { Box, Button, Center, Group, Text, Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';
import { useSignOut } from './session';

interface LonePageProps {
  /** In the browser’s tab. */
  title: string;
  heading?: string;
  lead?: string;
  /** Of the column in pixels, at most. */
  width: number;
  children: ReactNode;
}

/** A page without the console around it: a column in the middle, below a heading with the product’s sign. */
export function LonePage({ title, heading = 'Latchkey', lead, width, children }: LonePageProps) {
  useEffect(() => {
    document.title = `${title} · Latchkey`;
  }, [title]);
  return (
    <Center component="main" mih="100vh" px="md" py="lg">
      <Box w="100%" maw={width}>
        <Group gap="sm" mb={lead ? 'xs' : 'lg'} justify="center">
          <img src={new URL('../icon.svg', import.meta.url).href} width={36} height={36} alt="" />
          <Title order={1}>{heading}</Title>
        </Group>
        {lead && (
          <Text size="sm" c="dimmed" ta="center" mb="lg">
            {lead}
          </Text>
        )}
        {children}
      </Box>
    </Center>
  );
}

/** In place of every page, what a session must do before anything else. It can be ended instead. */
export function ForcedStep({ title, children }: Pick<LonePageProps, 'title' | 'children'>) {
  const signOut = useSignOut();
  return (
    <LonePage title={title} width={460}>
      {children}
      <Group justify="center" mt="md">
        <Button variant="default" size="xs" onClick={() => signOut.go()} loading={signOut.isPending}>
          Sign out
        </Button>
      </Group>
    </LonePage>
  );
}
