import type { Config } from './config/config.js';
import type { DemoAccess } from './demo.js';
import { CONSOLE_PATH } from './http/console.js';
import type { FirstAdmin } from './users/seed.js';

/**
 * What a start tells the person at the terminal; the generated password appears here and nowhere else. On standard
 * error: standard output carries the log, one JSON object a line.
 */
export function printBanner(config: Config, admin: FirstAdmin | null, warnings: readonly string[], demo: DemoAccess | null): void {
  const base = config.publicUrl;
  const lines = [
    '',
    `  Latchkey is ready at ${base}`,
    `  Console              ${base}${CONSOLE_PATH}`,
    ...(config.swaggerEnabled ? [`  Swagger UI           ${base}/docs`] : []),
    ...(admin === null ? [] : firstSteps(base, admin)),
    ...(demo === null ? [] : demoLines(demo)),
    ...warnings.flatMap((warning) => ['', `  ${warning}`]),
    '',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
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

function demoLines(demo: DemoAccess): string[] {
  return [
    '',
    '  Demo data            people, keys and a service account; examples in Swagger UI work with it',
    ...demo.people.map(({ email, password, role }) => `    ${email.padEnd(24)} ${password}   (${role})`),
    `    a key to verify          ${demo.exampleSecret}`,
    `    a gateway's key          ${demo.gatewaySecret}`,
  ];
}
