-- Notes that a shard which was begun empty has everything, if the writer who says so is the newest.
--
-- KEYS  latest
-- ARGV  epoch
-- Answers {"done"}.
if redis.call('HGET', KEYS[1], '#epoch') == ARGV[1] then
  redis.call('HDEL', KEYS[1], '#filling')
end
return {'done'}
