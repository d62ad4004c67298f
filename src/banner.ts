import type { Config } from './config/config.js';
import type { FirstAdmin } from './users/seed.js';

/** What a start tells the person at the terminal; the generated password appears here and nowhere else. */
export function printBanner(config: Config, admin: FirstAdmin | null, runsAsAppRole: boolean): void {
  const base = config.publicUrl;
  const lines = [
    '',
    `  Latchkey is ready at ${base}`,
    ...(config.swaggerEnabled ? [`  Swagger UI           ${base}/docs`] : []),
    ...(admin === null ? [] : firstSteps(base, admin)),
    ...(runsAsAppRole ? [] : ['', '  The role latchkey_app does not exist: trigger and hash chain alone protect the audit trail.']),
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function firstSteps(base: string, admin: FirstAdmin): string[] {
  const password = admin.password ?? '$ADMIN_PASSWORD';
  return [
    '',
    `  Admin                ${admin.email}`,
    ...(admin.password === null ? [] : [`  Password             ${admin.password}   (shown this once)`]),
    '',
    '  Create a key:',
    `    TOKEN=$(curl -s ${base}/api/v1/auth/login -H 'content-type: application/json' \\`,
    `      -d '{"email":"${admin.email}","password":"${password}"}' | sed 's/.*"accessToken":"\\([^"]*\\)".*/\\1/')`,
    `    KEY=$(curl -s -X POST ${base}/api/v1/api-keys -H "authorization: Bearer $TOKEN" \\`,
    `      | sed 's/.*"secretKey":"\\([^"]*\\)".*/\\1/')`,
    '  Verify it:',
    `    curl -s ${base}/api/v1/verify -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d "{\\"key\\":\\"$KEY\\"}"`,
  ];
}
