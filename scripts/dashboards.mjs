/**
 * `npm run dashboards`: writes deploy/grafana/*.json. What they show is said here, a line a panel; a test holds
 * the JSON files equal to this, and each expression against the metrics that the server serves.
 */
import { writeFile } from 'node:fs/promises';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('../deploy/grafana/', import.meta.url);

/** Grafana 10.2 and newer read this; older ones ask for an upgrade of the dashboard. */
const SCHEMA_VERSION = 39;

/** Columns of Grafana's grid; a panel takes a third of them. */
const COLUMNS = 24;
const PANEL = { w: 8, h: 7 };

/** Of which replicas: both variables stand in each expression. */
const OF = 'job=~"$job",instance=~"$instance"';
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

const rate = (metric, by, more = '') => `sum by (${by}) (rate(${metric}{${OF}${more}}[$__rate_interval]))`;
const quantile = (q, metric, more = '') =>
  `histogram_quantile(${q}, sum by (le) (rate(${metric}_bucket{${OF}${more}}[$__rate_interval])))`;
const quantiles = (metric, more) =>
  [0.5, 0.95, 0.99].map((q) => [quantile(q, metric, more), `${q * 100} of 100 within`]);
/** A value of each replica. */
const each = (metric) => [[`${metric}{${OF}}`, '{{instance}}']];
/** Several values of all replicas together. */
const totals = (...metrics) =>
  metrics.map((metric) => [`sum(${metric}{${OF}})`, metric.replace(/^latchkey_/, '').replaceAll('_', ' ')]);

/** title, unit of Grafana, [expression, legend]…; a description where the title does not say it all. */
const SERVICE = [
  [
    'Functions that do not work',
    'short',
    [[`max by (__name__) ({__name__=~"latchkey_.+_down",${OF}}) == 1`, '{{__name__}}']],
    'Empty while all works. docs/operations.md#health',
  ],
  ['Requests', 'reqps', [[rate('latchkey_http_request_duration_seconds_count', 'route'), '{{route}}']]],
  [
    'Requests answered with 5xx',
    'reqps',
    [
      [
        rate('latchkey_http_request_duration_seconds_count', 'route, status', ',status=~"5..",route!~"/health.*"'),
        '{{route}} {{status}}',
      ],
    ],
  ],
  ['Duration of requests', 's', quantiles('latchkey_http_request_duration_seconds')],
  [
    'Slowest routes, 99 of 100 within',
    's',
    [
      [
        `topk(10, histogram_quantile(0.99, ${rate('latchkey_http_request_duration_seconds_bucket', 'le, route')}))`,
        '{{route}}',
      ],
    ],
  ],
  [
    'Management waits and is throttled',
    'short',
    [
      ...totals('latchkey_management_requests_queued'),
      [rate('latchkey_management_throttled_total', 'reason'), '429 a second: {{reason}}'],
    ],
  ],
  ['Requests in flight', 'short', [[`sum by (class) (latchkey_requests_in_flight{${OF}})`, '{{class}}']]],
  [
    'Requests on the short cut',
    'short',
    [[rate('latchkey_short_cut_requests_total', 'outcome'), '{{outcome}}']],
    'docs/operations.md#the-short-cut',
  ],
  [
    'Requests that wait or are refused',
    'short',
    [
      [`sum by (class) (latchkey_requests_queued{${OF}})`, 'wait: {{class}}'],
      [rate('latchkey_requests_refused_total', 'class'), '503 a second: {{class}}'],
    ],
    'docs/operations.md#overload',
  ],
  [
    'Lines of the log that are lost',
    'short',
    [[`sum by (instance) (rate(latchkey_log_lines_dropped_total{${OF}}[$__rate_interval]))`, '{{instance}}']],
  ],
  [
    'Connections to PostgreSQL',
    'short',
    totals(
      'latchkey_database_pool_connections',
      'latchkey_database_pool_idle_connections',
      'latchkey_database_pool_requests_queued',
    ),
  ],
  ['Refused requests', 'reqps', [[rate('latchkey_refusals_total', 'kind'), '{{kind}}']]],
  ['Sign-ins that failed', 'reqps', [[rate('latchkey_sign_in_failures_total', 'reason'), '{{reason}}']]],
  ['Second factors', 'reqps', [[rate('latchkey_second_factor_codes_total', 'outcome'), '{{outcome}}']]],
  ['Passwords that wait to be checked', 'short', each('latchkey_password_hashes_queued')],
  [
    'Refused credentials',
    'reqps',
    [
      [rate('latchkey_oidc_tokens_refused_total', 'reason'), 'provider: {{reason}}'],
      [rate('latchkey_unbound_credentials_total', 'kind'), 'not bound: {{kind}}'],
    ],
  ],
];

const DATA_PLANE = [
  ['Verdicts', 'reqps', [[rate('latchkey_verdicts_total', 'code'), '{{code}}']]],
  [
    'Refusals by shared limits',
    'reqps',
    [[rate('latchkey_limit_refusals_total', 'target'), 'of {{target}}']],
    'Calls that the limit of a key, owner, project or the installation did not cover.',
  ],
  [
    'Accounts of shared limits near their end',
    'short',
    [
      [
        `max by (unit, sliding, account, percent) (latchkey_limit_accounts_near_end{${OF},mode="enforce"})`,
        '{{unit}}, sliding {{sliding}}, {{account}}, {{percent}} %',
      ],
    ],
    'At least so much of the amount is used. One replica counts once a minute. docs/limits.md#near-the-end',
  ],
  ['Duration of a verify', 's', quantiles('latchkey_http_request_duration_seconds', ',route="/api/v1/verify"')],
  [
    'Age of what a replica knows',
    's',
    each('latchkey_feed_age_seconds'),
    'Beyond MAX_STALENESS_SECONDS nothing is answered.',
  ],
  [
    'Changes behind the newest replica',
    'short',
    [[`max(latchkey_feed_applied_seq{${OF}}) - on () group_right () latchkey_feed_applied_seq{${OF}}`, '{{instance}}']],
  ],
  ['Keys in the record cache', 'short', [...totals('latchkey_record_cache_keys', 'latchkey_record_cache_unknown')]],
  ['Memory of the record cache', 'bytes', each('latchkey_record_cache_bytes')],
  ['Look-ups that wait for the database', 'short', each('latchkey_record_loads_queued')],
  [
    'Leases',
    'short',
    totals(
      'latchkey_lease_entries',
      'latchkey_lease_requests_queued',
      'latchkey_lease_acquires_in_flight',
      'latchkey_lease_returns_queued',
    ),
  ],
  [
    'Permits asked for ahead',
    'short',
    [
      [`sum(rate(latchkey_lease_refills_total{${OF}}[$__rate_interval]))`, 'windows a second'],
      [`sum(rate(latchkey_lease_refills_dropped_total{${OF}}[$__rate_interval]))`, 'of these without permits'],
    ],
  ],
  ['Imported keys in memory', 'short', each('latchkey_imported_keys_in_memory')],
  ['Memory of imported keys', 'bytes', each('latchkey_imported_keys_bytes')],
  [
    'Verdicts that are counted',
    'short',
    [
      ...totals('latchkey_verdict_counts_queued'),
      [`sum(rate(latchkey_verdicts_dropped_total{${OF}}[$__rate_interval]))`, 'dropped a second'],
    ],
  ],
  [
    'Refused calls that are kept',
    'short',
    [
      [`sum(rate(latchkey_refused_calls_recorded_total{${OF}}[$__rate_interval]))`, 'kept a second'],
      [rate('latchkey_refused_calls_lost_total', 'reason'), 'lost a second: {{reason}}'],
      ...totals('latchkey_refused_calls_queued'),
    ],
  ],
  ['Offset of clocks', 's', each('latchkey_database_clock_offset_seconds'), 'This machine minus the database.'],
];

const MONEY = [
  ['Reported events', 'reqps', [[rate('latchkey_usage_entries_total', 'outcome'), '{{outcome}}']]],
  ['Duration of a batch', 's', quantiles('latchkey_usage_batch_duration_seconds')],
  [
    'Events that wait for a batch',
    'short',
    each('latchkey_usage_entries_queued'),
    'At most 10 000; one caller has half of what is free. Beyond that: 429.',
  ],
  [
    'Reports answered 429',
    'reqps',
    [[`sum(rate(latchkey_usage_throttled_total{${OF}}[$__rate_interval]))`, 'a second']],
    'docs/usage.md#fairness',
  ],
  ['Batches that are being committed', 'short', each('latchkey_usage_batches_in_flight')],
  [
    'Events after their reservation',
    'reqps',
    [[`sum(rate(latchkey_usage_late_total{${OF}}[$__rate_interval]))`, 'late']],
  ],
  [
    'Reservations held for longer',
    'reqps',
    [[rate('latchkey_reservation_renewals_total', 'outcome'), '{{outcome}}']],
    'Renewals, by what became of them.',
  ],
  [
    'Costs beyond reservations, in an hour',
    'short',
    [[`sum(increase(latchkey_usage_excess_cents_total{${OF}}[1h]))`, 'cents']],
  ],
  [
    'Reports and limits',
    'short',
    [
      [`max by (instance) (latchkey_metering_down{${OF}})`, 'reports fail: {{instance}}'],
      [`max by (instance) (latchkey_limits_down{${OF}})`, 'limits fail: {{instance}}'],
    ],
    '1 where it does not work.',
  ],
  [
    'Failovers, and changes they have lost',
    'short',
    totals('latchkey_database_failovers_total', 'latchkey_history_lost_changes_total'),
  ],
];

const REPLICAS = [
  ['Replicas', 'short', [[`max(latchkey_replicas{${OF}})`, 'alive']]],
  [
    'Builds',
    'short',
    [[`count by (version, commit, node) (latchkey_build_info{${OF}})`, '{{version}} {{commit}} {{node}}']],
  ],
  [
    'Requests of each replica',
    'reqps',
    [[rate('latchkey_http_request_duration_seconds_count', 'instance'), '{{instance}}']],
  ],
  ['Processor time', 'percentunit', [[rate('process_cpu_seconds_total', 'instance'), '{{instance}}']]],
  ['Event loop, 99 of 100 within', 's', each('nodejs_eventloop_lag_p99_seconds')],
  ['Memory', 'bytes', each('process_resident_memory_bytes')],
  ['Heap in use', 'bytes', each('nodejs_heap_size_used_bytes')],
  ['Open files', 'short', each('process_open_fds')],
  ['Up for', 's', [[`time() - process_start_time_seconds{${OF}}`, '{{instance}}']]],
  ['Age of the last checkpoint', 's', [[`min(latchkey_audit_checkpoint_age_seconds{${OF}})`, 'age']]],
  [
    'Streams and copies of the audit trail',
    'short',
    [
      ...totals('latchkey_audit_streams_open'),
      [`min(latchkey_audit_copy_behind{${OF}})`, 'entries that the copy lacks'],
      [`min(latchkey_audit_syslog_behind{${OF}})`, 'entries that the receiver of syslog lacks'],
      [`sum(rate(latchkey_audit_syslog_events_total{${OF}}[$__rate_interval]))`, 'events a second by syslog'],
      [`sum(rate(latchkey_audit_stream_events_total{${OF}}[$__rate_interval]))`, 'events a second'],
    ],
  ],
  [
    'Spans of traces',
    'short',
    [
      ...totals('latchkey_trace_spans_queued', 'latchkey_trace_spans_lost_total'),
      [`sum(rate(latchkey_trace_spans_taken_total{${OF}}[$__rate_interval]))`, 'taken a second'],
    ],
  ],
  [
    'Entries that wait for the trail',
    'short',
    totals('latchkey_audit_entries_queued', 'latchkey_audit_reads_queued', 'latchkey_audit_entries_lost_total'),
  ],
  [
    'Tables compared with the trail',
    'short',
    [
      [`sum(increase(latchkey_table_comparisons_total{${OF}}[1h]))`, 'comparisons in an hour'],
      [`sum(increase(latchkey_table_rows_compared_total{${OF}}[1h]))`, 'rows in an hour'],
      [`max(latchkey_table_differences{${OF}})`, 'rows that differ'],
    ],
  ],
  [
    'Versions of secrets that are missing',
    'short',
    [
      ...each('latchkey_lacking_secret_versions'),
      [
        `sum by (instance, variable) (increase(latchkey_missing_secret_versions_total{${OF}}[1h]))`,
        'met in an hour: {{instance}} {{variable}}',
      ],
    ],
  ],
  ['Starts of the embedded PostgreSQL', 'short', each('latchkey_embedded_postgres_restarts_total')],
];

/** The dashboards by the names of their files. */
export function dashboards() {
  return {
    'service.json': dashboard('latchkey-service', 'Latchkey: service', SERVICE),
    'data-plane.json': dashboard('latchkey-data-plane', 'Latchkey: data plane', DATA_PLANE),
    'money.json': dashboard('latchkey-money', 'Latchkey: money', MONEY),
    'replicas.json': dashboard('latchkey-replicas', 'Latchkey: replicas', REPLICAS),
  };
}

/** A dashboard as it is written to a file. */
export const textOf = (one) => `${JSON.stringify(one, null, 1)}\n`;

function dashboard(uid, title, panels) {
  return {
    uid,
    title,
    tags: ['latchkey'],
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timezone: 'browser',
    links: [
      {
        type: 'dashboards',
        title: 'Latchkey',
        tags: ['latchkey'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    templating: {
      list: [
        datasourceVariable(),
        labelVariable('job', 'latchkey_build_info'),
        labelVariable('instance', 'latchkey_build_info{job=~"$job"}'),
      ],
    },
    panels: panels.map(panel),
  };
}

function datasourceVariable() {
  return { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus', current: {}, hide: 0 };
}

function labelVariable(name, of) {
  const query = `label_values(${of}, ${name})`;
  return {
    name,
    label: name,
    type: 'query',
    datasource: DATASOURCE,
    definition: query,
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    includeAll: true,
    allValue: '.+',
    multi: true,
    current: { text: ['All'], value: ['$__all'] },
  };
}

function panel([title, unit, targets, description], index) {
  const column = index % (COLUMNS / PANEL.w);
  return {
    id: index + 1,
    type: 'timeseries',
    title,
    ...(description === undefined ? {} : { description }),
    datasource: DATASOURCE,
    gridPos: { x: column * PANEL.w, y: Math.floor(index / (COLUMNS / PANEL.w)) * PANEL.h, ...PANEL },
    fieldConfig: { defaults: { unit, custom: { lineWidth: 1, fillOpacity: 10, showPoints: 'never' } }, overrides: [] },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    targets: targets.map(([expr, legendFormat], at) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + at),
      datasource: DATASOURCE,
      editorMode: 'code',
      range: true,
      expr,
      legendFormat,
    })),
  };
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, one] of Object.entries(dashboards())) await writeFile(new URL(name, FOLDER), textOf(one));
}
