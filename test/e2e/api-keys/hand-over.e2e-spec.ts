import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HandOverSweep } from '../../../src/api-keys/hand-over/hand-over-sweep.js';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';
import { countByStatus, makeKey, trailOf, verdictOn } from '../../support/made-keys.js';

const OFFER_COLUMNS = ['handOverBy', 'handOverUntil', 'handOverOverlapSeconds'];

describe('A secret that its owner draws', () => {
  let app: TestApp;
  /** A second replica on the same database. */
  let other: TestApp;
  let admin: string;
  let adminId: string;
  let owner: TestUser;

  const make = async (body: object = {}, token = admin): Promise<Answer> =>
    app.post('/api-keys', { token, body: { ownerId: owner.id, handOver: true, ...body } });
  const pending = async (body: object = {}): Promise<string> => {
    const answer = await make(body);
    expect(answer.status).toBe(201);
    return answer.body.apiKey.id as string;
  };
  const offer = (id: string, body: object = {}, token = admin) =>
    app.post(`/api-keys/${id}/hand-over`, { token, body });
  const takeBack = (id: string, token = admin) => app.delete(`/api-keys/${id}/hand-over`, { token });
  const draw = (id: string, token = owner.token, headers: Record<string, string> = {}, at = app) =>
    at.post(`/api-keys/${id}/draw`, { token, headers });
  const read = async (id: string, token = admin) => (await app.get(`/api-keys/${id}`, { token })).body;
  const expireOffer = (id: string) =>
    app.dataSource.query(`UPDATE api_key SET hand_over_until = now() - interval '1 second' WHERE id = $1`, [id]);

  beforeAll(async () => {
    app = await TestApp.start();
    other = await TestApp.start({}, app.database);
    admin = await app.adminToken();
    adminId = (await app.get('/auth/me', { token: admin })).body.user.id;
    owner = await app.addUser(['creator'], { maxActiveKeys: 1000 });
  });
  afterAll(async () => {
    await other.stop();
    await app.stop();
  });

  describe('POST /api-keys with handOver', () => {
    it('answers without a secret, for a key that is pending', async () => {
      const { status, body } = await make({ name: 'For a colleague' });
      expect(status).toBe(201);
      expect(Object.keys(body)).toEqual(['apiKey']);
      expect(body.apiKey).toMatchObject({
        status: 'pending',
        isActive: true,
        keyPrefix: '',
        secrets: [],
        handOver: { offeredBy: adminId, overlapSeconds: 0 },
      });
      const ends = Date.parse(body.apiKey.handOver.expiresAt) - Date.parse(body.apiKey.createdAt);
      expect(ends).toBe(86_400_000);
      expect(await read(body.apiKey.id)).toEqual(body.apiKey);
    });

    it('stores no secret, so that nothing verifies', async () => {
      const id = await pending();
      const rows = await app.dataSource.query('SELECT 1 FROM api_key_secret WHERE key_id = $1', [id]);
      expect(rows).toEqual([]);
      const explained = await app.post(`/api-keys/${id}/explain`, { token: admin, body: {} });
      expect(explained).toMatchObject({ status: 409, body: { code: 'NO_SECRET' } });
    });

    it('gives the secret at once where the caller is the owner', async () => {
      const { body } = await app.post('/api-keys', { token: owner.token, body: { handOver: true } });
      expect(body).toMatchObject({ apiKey: { status: 'active', handOver: null }, secretKey: expect.any(String) });
    });

    it('answers again under its Idempotency-Key, with the same key', async () => {
      const send = () =>
        app.post('/api-keys', {
          token: admin,
          headers: { 'idempotency-key': 'hand-over-create' },
          body: { ownerId: owner.id, handOver: true },
        });
      const [first, second] = [await send(), await send()];
      expect(second.headers.get('idempotency-replayed')).toBe('true');
      expect(second.body).toEqual(first.body);
    });

    it('counts against the cap of the owner', async () => {
      const full = await app.addUser(['creator'], { maxActiveKeys: 1 });
      expect((await make({ ownerId: full.id })).status).toBe(201);
      expect(await make({ ownerId: full.id })).toMatchObject({ status: 429, body: { code: 'API_KEY_LIMIT_REACHED' } });
    });

    it('needs the permission to create for others', async () => {
      const colleague = await app.addUser(['creator']);
      const { status, body } = await make({ ownerId: colleague.id }, owner.token);
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'PERMISSION_DENIED', permission: 'platform:api-keys:assign' });
    });

    it.each([
      [
        'is inactive',
        async () => {
          const user = await app.addUser(['creator']);
          await app.patch(`/users/${user.id}`, { token: admin, body: { isActive: false } });
          return user;
        },
      ],
      ['is a service account without a manager', () => app.addUser(['gateway'], { kind: 'service' })],
    ])('refuses an owner who %s', async (_, add) => {
      const nobody = await add();
      expect(await make({ ownerId: nobody.id })).toMatchObject({ status: 409, body: { code: 'NOBODY_TO_DRAW' } });
    });
  });

  describe('POST /api-keys/:id/draw', () => {
    it('gives the owner the only secret, and ends the offer', async () => {
      const id = await pending({ scopes: ['chat'] });
      const { status, body, headers } = await draw(id);
      expect(status).toBe(200);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toMatchObject({
        apiKey: { id, status: 'active', scopes: ['chat'], handOver: null },
        previousSecretExpiresAt: null,
      });
      expect(await verdictOn(app, body.secretKey)).toBe('VALID');
      expect(await draw(id)).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
    });

    it('leaves one secret, whichever of many draws on two replicas is first', async () => {
      const id = await pending();
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, index) => draw(id, owner.token, {}, index % 2 === 0 ? app : other)),
      );
      expect(countByStatus(answers)).toEqual({ 200: 1, 409: 7 });
      const rows = await app.dataSource.query('SELECT kid FROM api_key_secret WHERE key_id = $1', [id]);
      expect(rows).toHaveLength(1);
      const { secretKey } = answers.find(({ status }) => status === 200)!.body;
      expect(await verdictOn(app, secretKey)).toBe('VALID');
    });

    it('gives a lost answer again under its Idempotency-Key', async () => {
      const id = await pending();
      const headers = { 'idempotency-key': `draw-${id}` };
      const [first, second] = [await draw(id, owner.token, headers), await draw(id, owner.token, headers, other)];
      expect(first.status).toBe(200);
      expect(second.body).toEqual(first.body);
      expect(second.headers.get('idempotency-replayed')).toBe('true');
    });

    it('refuses the one who made the key, with any permission', async () => {
      const id = await pending();
      expect(await draw(id, admin)).toMatchObject({ status: 403, body: { code: 'NOT_THE_OWNER' } });
      expect((await read(id)).status).toBe('pending');
    });

    it('answers a caller who may not know the key as if it were missing', async () => {
      const stranger = await app.addUser(['creator']);
      expect((await draw(await pending(), stranger.token)).status).toBe(404);
    });

    it('refuses a key of the owner: only a person who is signed in draws', async () => {
      const key = await makeKey(app, owner.token);
      const answer = await app.post(`/api-keys/${await pending()}/draw`, { apiKey: key.secret });
      expect(answer.status).toBe(404);
    });

    it('lets a manager of a service account draw', async () => {
      const manager = await app.addUser(['user']);
      const service = await app.addUser(['gateway'], { kind: 'service', managerIds: [manager.id] });
      const id = await pending({ ownerId: service.id });
      expect((await draw(id, manager.token)).status).toBe(200);
    });

    it('is told to each reader of the key: who may draw, and who may not', async () => {
      // As an auditor, who sees all keys.
      const [manager, auditor] = [await app.addUser(['auditor']), await app.addUser(['auditor'])];
      const service = await app.addUser(['gateway'], { kind: 'service', managerIds: [manager.id] });
      for (const [id, drawer] of [
        [await pending({ ownerId: service.id }), manager.token],
        [await pending(), owner.token],
      ] as const) {
        for (const token of [manager.token, auditor.token, owner.token, admin]) {
          const answer = await app.get(`/api-keys/${id}`, { token });
          if (answer.status === 404) continue;
          expect(answer.body.handOver.mayDraw).toBe(token === drawer);
          const { data } = (await app.get('/api-keys?handOver=true&size=100', { token })).body;
          expect(data.find((one: { id: string }) => one.id === id).handOver).toEqual(answer.body.handOver);
        }
        expect((await offer(id)).body.handOver.mayDraw).toBe(false);
        expect((await draw(id, drawer)).status).toBe(200);
      }
      const made = (await make({ ownerId: service.id })).body.apiKey;
      expect(await read(made.id)).toEqual(made);
    });

    it('refuses when the time of the offer is over, and so does a regenerate of the owner', async () => {
      const id = await pending();
      await expireOffer(id);
      expect(await read(id)).toMatchObject({ status: 'pending', handOver: null });
      expect(await draw(id)).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
      const regenerated = await app.post(`/api-keys/${id}/regenerate`, { token: owner.token });
      expect(regenerated).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
      expect((await offer(id)).status).toBe(200);
      expect((await draw(id)).status).toBe(200);
    });
  });

  describe('POST /api-keys/:id/hand-over', () => {
    it('leaves the key as it is until its owner draws; the overlap starts then', async () => {
      const key = await makeKey(app, owner.token);
      const { status, body } = await offer(key.id, { overlapSeconds: 3600 });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        status: 'active',
        version: key.view.version,
        handOver: { offeredBy: adminId, overlapSeconds: 3600 },
      });
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      const before = Date.now();
      const drawn = await draw(key.id);
      expect(Date.parse(drawn.body.previousSecretExpiresAt)).toBeGreaterThan(before + 3_000_000);
      expect(await verdictOn(app, key.secret)).toBe('VALID');
      expect(await verdictOn(app, drawn.body.secretKey)).toBe('VALID');
    });

    it('replaces the offer that is open', async () => {
      const id = await pending();
      expect((await offer(id, { overlapSeconds: 60 })).body.handOver.overlapSeconds).toBe(60);
    });

    it('refuses the owner, who regenerates', async () => {
      const key = await makeKey(app, admin);
      expect(await offer(key.id)).toMatchObject({ status: 409, body: { code: 'HAND_OVER_TO_SELF' } });
    });

    it('refuses a revoked key', async () => {
      const id = await pending();
      await app.post(`/api-keys/${id}/revoke`, { token: admin });
      expect(await offer(id)).toMatchObject({ status: 409, body: { code: 'ALREADY_REVOKED' } });
    });
  });

  describe('The offer ends', () => {
    const reasonOf = async (id: string) => (await trailOf(app, id)).at(-1)!;
    const isEnded = async (id: string) => {
      const { changes } = await reasonOf(id);
      expect(changes).toContainEqual(expect.objectContaining({ field: 'handOverUntil', after: null }));
    };

    it.each([
      ['taken back by one who assigns keys', () => admin, 'taken back'],
      ['declined by the owner', () => owner.token, 'declined'],
    ])('when it is %s', async (_, token, reason) => {
      const id = await pending();
      expect((await takeBack(id, token())).body).toMatchObject({ status: 'pending', handOver: null });
      expect(await reasonOf(id)).toMatchObject({ action: 'hand-overs:end', details: { reason } });
      expect((await draw(id)).status).toBe(409);
      expect(await takeBack(id, token())).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
    });

    it('with a transfer, for the owner before and the next', async () => {
      const next = await app.addUser(['creator']);
      const id = await pending();
      await app.post(`/api-keys/${id}/transfer`, { token: admin, body: { ownerId: next.id } });
      expect((await draw(id)).status).toBe(404);
      expect(await draw(id, next.token)).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
      await isEnded(id);
    });

    it('with a revoke', async () => {
      const id = await pending();
      await app.post(`/api-keys/${id}/revoke`, { token: admin });
      expect(await draw(id)).toMatchObject({ status: 409, body: { code: 'ALREADY_REVOKED' } });
      await isEnded(id);
    });

    it('with a regenerate', async () => {
      const key = await makeKey(app, owner.token);
      await offer(key.id);
      expect((await app.post(`/api-keys/${key.id}/regenerate`, { token: owner.token })).status).toBe(200);
      expect((await draw(key.id)).status).toBe(409);
      await isEnded(key.id);
    });

    it('when the owner is deactivated, and does not come back with the owner', async () => {
      const leaver = await app.addUser(['creator']);
      const id = await pending({ ownerId: leaver.id });
      await app.patch(`/users/${leaver.id}`, { token: admin, body: { isActive: false } });
      expect(await reasonOf(id)).toMatchObject({
        action: 'hand-overs:end',
        details: { reason: 'owner deactivated' },
      });
      await app.patch(`/users/${leaver.id}`, { token: admin, body: { isActive: true } });
      const token = await app.tokenOf(leaver.email, leaver.password);
      expect(await draw(id, token)).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
    });

    it('when the owner leaves, for who takes over the keys', async () => {
      const [leaver, heir] = [await app.addUser(['creator']), await app.addUser(['creator'])];
      const id = await pending({ ownerId: leaver.id });
      const { status } = await app.delete(`/users/${leaver.id}?transferTo=${heir.id}`, { token: admin });
      expect(status).toBe(204);
      expect(await draw(id, heir.token)).toMatchObject({ status: 409, body: { code: 'NO_HAND_OVER' } });
      await isEnded(id);
    });

    it('after its time, which the server writes into the trail once', async () => {
      const id = await pending();
      await expireOffer(id);
      const sweeps = [app, other].map(({ app: server }) => server.get(HandOverSweep, { strict: false }).sweep());
      await Promise.all(sweeps);
      const ended = (await trailOf(app, id)).filter(({ action }) => action === 'hand-overs:end');
      expect(ended).toMatchObject([{ actor_kind: 'system', details: { reason: 'expired' } }]);
    });
  });

  describe('The trail', () => {
    it('says who offered and who drew, and has no secret', async () => {
      const id = await pending();
      const { body } = await draw(id);
      const [offered, drawn] = await trailOf(app, id);
      expect(offered!.action).toBe('api-keys:create');
      expect(offered!.changes.filter(({ field }) => OFFER_COLUMNS.includes(field))).toEqual([
        { field: 'handOverBy', before: null, after: adminId },
        { field: 'handOverUntil', before: null, after: expect.any(String) },
        { field: 'handOverOverlapSeconds', before: null, after: 0 },
      ]);
      expect(drawn).toMatchObject({
        action: 'api-key-secrets:draw',
        actor_id: owner.id,
        details: { kid: body.apiKey.secrets[0].kid, previousKid: null },
      });
      const [{ text }] = await app.dataSource.query<[{ text: string }]>(
        `SELECT string_agg(body, '') AS text FROM audit_event`,
      );
      expect(text).not.toContain(body.secretKey.slice(-49));
    });
  });

  describe('Lists', () => {
    it('show a pending key by that word, in filters, groups and CSV', async () => {
      const reader = await app.addUser(['creator'], { maxActiveKeys: 1000 });
      const id = await pending({ ownerId: reader.id });
      const drawn = await pending({ ownerId: reader.id });
      await draw(drawn, reader.token);
      const ids = async (query: string) =>
        (await app.get(`/api-keys?ownerId=${reader.id}&${query}`, { token: reader.token })).body.data.map(
          (key: { id: string }) => key.id,
        );
      expect(await ids('status=pending')).toEqual([id]);
      expect(await ids('status=active')).toEqual([drawn]);
      const { body: facets } = await app.get(`/api-keys/facets?ownerId=${reader.id}`, { token: admin });
      expect(facets.status).toEqual(
        ['revoked', 'inactive', 'expired', 'pending', 'active'].map((value) => ({
          value,
          count: Number(['pending', 'active'].includes(value)),
        })),
      );
      const { body: csv } = await app.get(`/api-keys/export?ownerId=${reader.id}&status=pending`, { token: admin });
      expect(String(csv)).toContain('"pending"');
    });

    it('find what waits to be drawn, keys with a secret among them', async () => {
      const reader = await app.addUser(['creator'], { maxActiveKeys: 1000 });
      const first = await pending({ ownerId: reader.id });
      const next = await makeKey(app, reader.token);
      const plain = await makeKey(app, reader.token);
      const late = await pending({ ownerId: reader.id });
      await offer(next.id);
      await expireOffer(late);
      const ids = async (query: string) =>
        (await app.get(`/api-keys?${query}`, { token: reader.token })).body.data
          .map((key: { id: string }) => key.id)
          .sort();
      expect(await ids('handOver=true')).toEqual([first, next.id].sort());
      expect(await ids('handOver=false')).toEqual([plain.id, late].sort());
    });
  });
});
