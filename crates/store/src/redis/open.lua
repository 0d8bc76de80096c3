-- Opens a shard's writer: the epoch rises above every one before it and fences older writers.
-- With a holder, only if nobody else holds the shard's lease, and the lease becomes the holder's.
--
-- KEYS  latest, feed, lease
-- ARGV  now in unix ms, seconds that the shard is kept, holder or "", life of the lease in ms, number of shards or ""
-- Answers {"opened", epoch, revision} or {"held", holder, rest of its life in ms}.
local latest, feed, lease = KEYS[1], KEYS[2], KEYS[3]
local holder = ARGV[3]
if holder ~= '' then
  local held = redis.call('GET', lease)
  if held then
    local other = string.match(held, '^%d+ (.*)$')
    if other ~= holder then
      return {'held', other or '', redis.call('PTTL', lease)}
    end
  end
end
local head = redis.call('HMGET', latest, '#epoch', '#revision')
local epoch, revision = tonumber(head[1] or '0'), tonumber(head[2] or '0')
-- The feed may know of a later epoch than the hash, which a careless eviction may have taken.
local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
if last then
  local fed_epoch, fed_revision = string.match(last[1], '^(%d+)-(%d+)$')
  epoch = math.max(epoch, tonumber(fed_epoch))
  revision = math.max(revision, tonumber(fed_revision))
end
epoch = math.max(epoch + 1, tonumber(ARGV[1]))
local epoch_text = string.format('%.0f', epoch)
local revision_text = string.format('%.0f', revision)
-- A marker at the position that the epoch starts from tells waiting readers at once.
redis.call('XADD', feed, epoch_text .. '-' .. revision_text, 'opened', holder)
redis.call('HSET', latest, '#epoch', epoch_text, '#revision', revision_text, '#batch', '')
if not head[1] then
  -- Until everything is in it, whoever comes to read must not take it for the whole.
  redis.call('HSET', latest, '#filling', '1')
end
if ARGV[5] ~= '' then
  redis.call('HSET', latest, '#shards', ARGV[5])
end
redis.call('EXPIRE', latest, ARGV[2])
redis.call('EXPIRE', feed, ARGV[2])
if holder ~= '' then
  redis.call('SET', lease, epoch_text .. ' ' .. holder, 'PX', ARGV[4])
end
return {'opened', epoch_text, revision_text}
