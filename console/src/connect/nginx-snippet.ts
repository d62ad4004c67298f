/**
 * The ten lines of docs/gateways/nginx.md for this installation; a test holds the two equal. Which scopes are needed is
 * the reader's to add.
 */
export function nginxSnippet(publicUrl: string, gatewayKey: string): string {
  return [
    'location = /_latchkey {',
    '  internal;',
    `  proxy_pass ${publicUrl}/api/v1/forward-auth?mode=nginx;`,
    // Without it nginx names no server in the TLS handshake.
    ...(publicUrl.startsWith('https:') ? ['  proxy_ssl_server_name on;'] : []),
    '  proxy_pass_request_body off;',
    '  proxy_set_header Content-Length "";',
    '  proxy_set_header X-Forwarded-For $remote_addr;',
    `  proxy_set_header X-Latchkey-Gateway-Key ${gatewayKey};`,
    '}',
    'location / {',
    '  auth_request /_latchkey;',
    '  proxy_pass http://127.0.0.1:8080;',
    '}',
    '',
  ].join('\n');
}
