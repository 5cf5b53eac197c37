-- What asking providers needs: their limits, shared by all processes, and the secrets that they showed once.

-- bucket: When a source asked in this bucket, and until when it may not; nobody else asks before this transaction ends.
INSERT INTO buckets AS b (source, bucket, taken) VALUES (:source, :bucket, '[]')
ON CONFLICT (source, bucket) DO UPDATE SET taken = b.taken RETURNING taken, frozen_until;

-- put_bucket: When a source asked in this bucket, the newest times only.
INSERT INTO buckets (source, bucket, taken) VALUES (:source, :bucket, :taken)
ON CONFLICT (source, bucket) DO UPDATE SET taken = excluded.taken;

-- freeze_bucket: The provider asked to wait: nobody asks before this moment.
INSERT INTO buckets AS b (source, bucket, taken, frozen_until) VALUES (:source, :bucket, '[]', :until)
ON CONFLICT (source, bucket) DO UPDATE SET frozen_until = greatest(b.frozen_until, excluded.frozen_until);

-- seal_secret: A secret that a provider showed, sealed; a new one takes the old one's place.
INSERT INTO secrets (source, name, sealed, updated_at) VALUES (:source, :name, :sealed, :now)
ON CONFLICT (source, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at;

-- sealed_secrets: What is sealed for a source.
SELECT name, sealed, updated_at FROM secrets WHERE source = :source ORDER BY updated_at, name COLLATE "C";

-- drop_secret: A secret is of no use any more.
DELETE FROM secrets WHERE source = :source AND name = :name;

-- newest_secret: When a secret was sealed last, over all sources.
SELECT coalesce(max(updated_at), 0), count(*) FROM secrets;

-- known_subscriptions: The subscriptions of a source that were seen alive: address, longest lifetime, end, and who was told.
SELECT id, address, lifetime, expires_at, told FROM subscriptions WHERE source = :source ORDER BY id COLLATE "C";

-- put_subscription: A subscription is alive; its lifetime is the longest that was seen, milliseconds.
INSERT INTO subscriptions AS s (source, id, address, lifetime, expires_at)
VALUES (:source, :id, :address, :lifetime, :expires_at)
ON CONFLICT (source, id) DO UPDATE SET address = excluded.address, expires_at = excluded.expires_at, told = 0,
    lifetime = greatest(s.lifetime, excluded.lifetime);

-- told_subscription: People know that a subscription is dead.
UPDATE subscriptions SET told = 1 WHERE source = :source AND id = :id;

-- drop_subscription: A subscription is ended, or another took its place.
DELETE FROM subscriptions WHERE source = :source AND id = :id;
