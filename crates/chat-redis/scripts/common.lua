local call, pcall_ = redis.call, redis.pcall
local pack, unpack_ = struct.pack, struct.unpack
