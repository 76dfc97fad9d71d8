"""Lua that Redis runs as one step each: what makes a task finish exactly once.

Every change of a claimed task names its claim number. A worker that was taken for dead and comes back
holds an older number, so nothing it says changes the task any more.
"""

_NOW = "local t = redis.call('TIME') local now = string.format('%d.%06d', t[1], t[2]) "
_MINE = (
    "local held = redis.call('HMGET', KEYS[1], 'state', 'claims') "
    "if held[1] ~= 'running' or held[2] ~= ARGV[1] then return 0 end "
)

# KEYS task, stream, index; ARGV id, then fields. 1 when new, 0 when the id is known.
SUBMIT = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', 'queued', 'created', now, 'claims', 0, 'completions', 0)
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('XADD', KEYS[2], '*', 'task', ARGV[1])
return 1
"""
)

# KEYS task, stream; ARGV group, message, worker, attempts allowed, seconds to keep. Claim number, 0 for none.
BEGIN = (
    _NOW
    + """
local function drop() redis.call('XACK', KEYS[2], ARGV[1], ARGV[2]) redis.call('XDEL', KEYS[2], ARGV[2]) end
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'running' then drop() return 0 end
local claims = redis.call('HINCRBY', KEYS[1], 'claims', 1)
local forgiven = tonumber(redis.call('HGET', KEYS[1], 'forgiven') or '0')
if claims - forgiven > tonumber(ARGV[4]) then
  local last = redis.call('HGET', KEYS[1], 'error') or 'its workers died'
  redis.call('HINCRBY', KEYS[1], 'claims', -1)
  redis.call('HINCRBY', KEYS[1], 'completions', 1)
  redis.call('HSET', KEYS[1], 'state', 'failed', 'finished', now,
    'error', 'given up after ' .. ARGV[4] .. ' attempts; last: ' .. last)
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  drop()
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[3], 'started', now)
return claims
"""
)

# KEYS task, stream; ARGV claim, group, message, worker. Makes the lease young again.
RENEW = (
    _MINE
    + """
redis.call('XCLAIM', KEYS[2], ARGV[2], ARGV[4], 0, ARGV[3], 'JUSTID')
return 1
"""
)

# KEYS task, stream; ARGV claim, group, message, seconds to keep, then fields. 1 when this call ended the task.
COMPLETE = (
    _MINE
    + _NOW
    + """
redis.call('HSET', KEYS[1], 'finished', now, unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[1], 'completions', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('XACK', KEYS[2], ARGV[2], ARGV[3])
redis.call('XDEL', KEYS[2], ARGV[3])
return 1
"""
)

# KEYS task, stream; ARGV claim, group, message, reason, counted ('1' or '0'), idle ms. Back to the queue.
PUT_BACK = (
    _MINE
    + """
redis.call('HSET', KEYS[1], 'state', 'queued', 'error', ARGV[4])
if ARGV[5] == '0' then redis.call('HINCRBY', KEYS[1], 'forgiven', 1) end
redis.call('XCLAIM', KEYS[2], ARGV[2], 'nobody', 0, ARGV[3], 'IDLE', ARGV[6], 'JUSTID')
return 1
"""
)
