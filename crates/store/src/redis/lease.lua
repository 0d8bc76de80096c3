-- Renews or gives back a lease, if it is still the one that was granted.
--
-- KEYS  lease
-- ARGV  epoch, holder, new life in ms or "0" to give it back
-- Answers {"done"}, or {"lost", holder or ""}.
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] .. ' ' .. ARGV[2] then
  return {'lost', held and string.match(held, '^%d+ (.*)$') or ''}
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {'done'}
