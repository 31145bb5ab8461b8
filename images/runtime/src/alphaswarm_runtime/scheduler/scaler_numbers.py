"""A number that KEDA reads: its redis scaler takes a key's length, so it is a list of as many items."""

from alphaswarm_runtime.type_aliases import Client

# KEYS: the list. ARGV: the number, the milliseconds until it is 0 again.
SET_NUMBER = """
local number = tonumber(ARGV[1])
if number == 0 then return redis.call('DEL', KEYS[1]) end
if redis.call('LLEN', KEYS[1]) ~= number then
  redis.call('DEL', KEYS[1])
  for _ = 1, number do redis.call('RPUSH', KEYS[1], '1') end
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


def set_number(client: Client, key: str, number: int, seconds: float) -> None:
    """Set a key's number for so many seconds; without a new one it is 0 after them."""
    client.eval(SET_NUMBER, 1, key, number, max(1, int(seconds * 1000)))
