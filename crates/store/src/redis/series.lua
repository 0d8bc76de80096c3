-- Replaces blocks of a series and its line in the list of series, if nobody has changed the series since it was read. Every change gives the
-- line a new version, so the line alone tells.
--
-- KEYS  blocks, series
-- ARGV  name of the series, its line as read or "", its new line or "" when nothing is left,
--       and then for each block: number, new bytes or "" to drop it.
-- Answers 1, or 0 when something has changed: read and merge again.
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
return 1
