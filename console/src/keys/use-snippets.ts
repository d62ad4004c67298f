/** A first call of a service with a key, which is read from the environment. */
export const USE_SNIPPETS = {
  curl: ['curl -s "$SERVICE_URL" \\', '  -H "authorization: Bearer $API_KEY"'].join('\n'),
  TypeScript: [
    'const response = await fetch(process.env.SERVICE_URL!, {',
    '  headers: { authorization: `Bearer ${process.env.API_KEY}` },',
    '});',
    'console.log(response.status, await response.text());',
  ].join('\n'),
  Python: [
    'import os, urllib.request',
    '',
    'request = urllib.request.Request(',
    '    os.environ["SERVICE_URL"],',
    '    headers={"authorization": f"Bearer {os.environ[\'API_KEY\']}"},',
    ')',
    'with urllib.request.urlopen(request) as response:',
    '    print(response.status, response.read().decode())',
  ].join('\n'),
} as const;

/** A language of a snippet. */
export type SnippetLanguage = keyof typeof USE_SNIPPETS;
