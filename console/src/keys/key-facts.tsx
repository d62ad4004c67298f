import { Group, Paper, Text } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ApiKey } from '../api/client';
import { ProjectName } from '../projects/project-picker';
import { settings } from '../settings';
import { count, money } from '../ui/format';
import { Copy, Facts, Instant, Marks } from '../ui/values';
import { plural } from '../ui/words';
import { moreInWords } from './more-fields';
import { raiseInWords } from './raise-budget';

/** Everything that is set of a key. */
export function KeyFacts({ apiKey }: { apiKey: ApiKey }) {
  const limits = [
    apiKey.rateLimitPerMinute && `${count(apiKey.rateLimitPerMinute)} per minute`,
    apiKey.rateLimitPerHour && `${count(apiKey.rateLimitPerHour)} per hour`,
    apiKey.rateLimitPerDay && `${count(apiKey.rateLimitPerDay)} per day`,
  ].filter(Boolean);
  const metadata = Object.entries(apiKey.metadata as Record<string, string>);
  return (
    <Paper withBorder p="md">
      <Facts
        rows={[
          [
            'Id',
            <Group key="id" gap={4} wrap="nowrap">
              <span className="mono">{apiKey.id}</span>
              <Copy value={apiKey.id} label="Copy the id" />
            </Group>,
          ],
          [
            'Alias',
            apiKey.alias ?? (
              <Text span size="sm" c="dimmed">
                none
              </Text>
            ),
          ],
          [
            'Project',
            apiKey.projectId === null ? (
              <Text span size="sm" c="dimmed">
                none
              </Text>
            ) : (
              <ProjectName key="project" id={apiKey.projectId} />
            ),
          ],
          ['Environment', apiKey.environment],
          ...moreInWords(apiKey),
          ['Tags', <Marks key="tags" values={apiKey.tags} none="none" />],
          ['Scopes', <Marks key="scopes" values={apiKey.scopes} none="none" />],
          ['Roles', <Marks key="roles" values={apiKey.roles} none="none" />],
          ['Addresses', <Marks key="ips" values={apiKey.allowedIps} none="any" />],
          ['Models', <Marks key="models" values={apiKey.allowedModels} none="any" />],
          ['Chatbots', <Marks key="chatbots" values={apiKey.allowedChatbots} none="any" />],
          ['Rate limits', limits.length === 0 ? 'none' : limits.join(', ')],
          [
            'Budget',
            apiKey.budgetLimitCents === null
              ? 'unlimited'
              : `${money(apiKey.budgetLimitCents)} ${apiKey.budgetType === 'monthly' ? 'per month' : 'in total'}`,
          ],
          [
            'Tokens held unasked',
            apiKey.defaultReserveTokens === null
              ? 'none'
              : `${count(apiKey.defaultReserveTokens)} for a call that reserves none, where a limit of tokens binds it`,
          ],
          ...(apiKey.budgetRaise === null ? [] : [['Raise', raiseInWords(apiKey)] as [string, ReactNode]]),
          ['Expires', <Instant key="expires" at={apiKey.expiresAt} />],
          ...(apiKey.maxExpiresAt === null
            ? []
            : [['Owner renews until', <Instant key="max-expires" at={apiKey.maxExpiresAt} />] as [string, ReactNode]]),
          [
            'A renewal lasts',
            apiKey.validityDays === null
              ? `${settings.keyValidityDays} days, as set for this installation`
              : `${count(apiKey.validityDays)} ${plural(apiKey.validityDays, 'day')}`,
          ],
          [
            'Metadata',
            metadata.length === 0
              ? 'none'
              : metadata.map(([name, value]) => (
                  <div key={name}>
                    <span className="mono">{name}</span>: {value}
                  </div>
                )),
          ],
          ['Created', <Instant key="created" at={apiKey.createdAt} />],
          ['Changed', <Instant key="updated" at={apiKey.updatedAt} />],
        ]}
      />
    </Paper>
  );
}
