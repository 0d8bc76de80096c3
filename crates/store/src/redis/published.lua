-- Notes that a shard which was begun empty has everything, if the writer who says so is the newest; and keeps the shard, also one in which nothing is.
--
-- KEYS  latest, feed
-- ARGV  epoch, seconds that the shard is kept
-- Answers {"done"}.
if redis.call('HGET', KEYS[1], '#epoch') == ARGV[1] then
  redis.call('HDEL', KEYS[1], '#filling')
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return {'done'}
