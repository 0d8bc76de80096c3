-- Writes a batch: latest values and feed together, or nothing.
--
-- KEYS  latest, feed
-- ARGV  epoch, newest revision that the writer knows of, the batch's own token, most entries in the feed, seconds that the shard is kept,
--       the writer's time in microseconds, and then for each update: key, guard, value.
--       The guard is "-" for a removal, "+" to write in any case, or the time received in microseconds: an update that is older than what is
--       stored for its key is not written, unless that is of the writer's future. The value starts with its own time received, 8 bytes,
--       big-endian.
-- Answers {"written", revision};
--         {"older", position of an update, …} and has then written nothing: the writer leaves those out and asks again;
--         {"fenced", epoch} after a later writer; {"moved", epoch, revision, token of the last batch} when the store is not where the
--         writer left it; {"empty"} when there is nothing.
local latest, feed = KEYS[1], KEYS[2]
local epoch, expected, token = ARGV[1], ARGV[2], ARGV[3]
local now = tonumber(ARGV[6])
local FIRST, WIDTH, CHUNK = 7, 3, 128

local head = redis.call('HMGET', latest, '#epoch', '#revision', '#batch')
if not head[1] then
  return {'empty'}
end
if head[1] ~= epoch then
  if tonumber(head[1]) > tonumber(epoch) then
    return {'fenced', head[1]}
  end
  return {'moved', head[1], head[2], head[3]}
end
if head[2] ~= expected then
  return {'moved', head[1], head[2], head[3]}
end

local older = {'older'}
local keys, times, places = {}, {}, {}
local function compare()
  if #keys == 0 then
    return
  end
  local stored = redis.call('HMGET', latest, unpack(keys))
  for i, value in ipairs(stored) do
    local received = value and struct.unpack('>i8', value)
    if received and times[i] < received and received <= now then
      older[#older + 1] = places[i]
    end
  end
  keys, times, places = {}, {}, {}
end
for i = FIRST, #ARGV, WIDTH do
  local time = tonumber(ARGV[i + 1])
  if time then
    keys[#keys + 1], times[#times + 1], places[#places + 1] = ARGV[i], time, (i - FIRST) / WIDTH
    if #keys == CHUNK then
      compare()
    end
  end
end
compare()
if #older > 1 then
  return older
end

local revision = tonumber(expected)
local fields = {}
local function store()
  if #fields > 0 then
    redis.call('HSET', latest, unpack(fields))
    fields = {}
  end
end
for i = FIRST, #ARGV, WIDTH do
  revision = revision + 1
  if ARGV[i + 1] == '-' then
    store()
    redis.call('HDEL', latest, ARGV[i])
  else
    fields[#fields + 1], fields[#fields + 2] = ARGV[i], ARGV[i + 2]
    if #fields >= 2 * CHUNK then
      store()
    end
  end
  redis.call('XADD', feed, epoch .. '-' .. string.format('%.0f', revision), 'e', ARGV[i + 2])
end
store()
local revision_text = string.format('%.0f', revision)
redis.call('HSET', latest, '#revision', revision_text, '#batch', token)
redis.call('XTRIM', feed, 'MAXLEN', '~', ARGV[4])
redis.call('EXPIRE', latest, ARGV[5])
redis.call('EXPIRE', feed, ARGV[5])
return {'written', revision_text}
