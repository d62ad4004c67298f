import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../support/app.js';

const TOKEN = 'metrics-0123456789abcdefghijklmnopqrst';

describe('GET /metrics', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start({ METRICS_TOKEN: TOKEN });
  });
  afterAll(() => app.stop());

  it('200: counts requests by route, method and status', async () => {
    await app.get('/auth/me');
    const { status, body, headers } = await app.get('//metrics', { token: TOKEN });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/plain/);
    expect(body).toContain(
      'latchkey_http_request_duration_seconds_count{method="GET",route="/api/v1/auth/me",status="401"} 1',
    );
  });

  it('401: without the token, and with another', async () => {
    expect((await app.get('//metrics')).status).toBe(401);
    expect((await app.get('//metrics', { token: `${TOKEN}x` })).status).toBe(401);
  });

  it('404: where no token is configured', async () => {
    const bare = await TestApp.start();
    const { status, body } = await bare.get('//metrics', { token: TOKEN });
    await bare.stop();
    expect(status).toBe(404);
    expect(body.code).toBe('ROUTE_NOT_FOUND');
  });
});
