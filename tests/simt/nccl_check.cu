// nccl_check.cu: kernels/nccl_abi.h says the same as <nccl.h>: that of the machine, by nvcc, and the emulator's
// stand-in, by the C++ compiler. There is nothing to run: it compiles, or it does not.
#include "nccl_abi.h"
#include <nccl.h>
#include <type_traits>

// Two types that look alike to a call: pointers, integers and enumerations of one size, or plain structs of one size.
template <class A, class B>
constexpr bool alike = sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B> &&
                       (std::is_pointer_v<A> || std::is_enum_v<A> || std::is_integral_v<A> ||
                        (std::is_trivially_copyable_v<A> && std::is_trivially_copyable_v<B>)) &&
                       std::is_class_v<A> == std::is_class_v<B> &&
                       std::is_floating_point_v<A> == std::is_floating_point_v<B>;

template <class R, class... P, class S, class... Q> constexpr bool same_call(R (*)(P...), S (*)(Q...))
{
    if constexpr (sizeof...(P) != sizeof...(Q))
        return false;
    else
        return alike<R, S> && (alike<P, Q> && ...);
}

#define X(member, name) \
    static_assert(same_call(decltype(&name)(nullptr), decltype(Nccl::member)(nullptr)), #name);
MILL_NCCL_MAP(X)
#undef X

static_assert(ncclSuccess == static_cast<ncclResult_t>(MILL_NCCL_SUCCESS), "results");
static_assert(ncclInProgress == static_cast<ncclResult_t>(MILL_NCCL_IN_PROGRESS), "results");
static_assert(ncclUint8 == static_cast<ncclDataType_t>(MILL_NCCL_UINT8), "types");
static_assert(ncclUint64 == static_cast<ncclDataType_t>(MILL_NCCL_UINT64), "types");
static_assert(ncclSum == static_cast<ncclRedOp_t>(MILL_NCCL_SUM), "operations");
static_assert(sizeof(ncclUniqueId) == sizeof(Nccl_id), "a name");
static_assert(offsetof(ncclConfig_t, size) == offsetof(Nccl_config, size) &&
                  offsetof(ncclConfig_t, magic) == offsetof(Nccl_config, magic) &&
                  offsetof(ncclConfig_t, version) == offsetof(Nccl_config, version) &&
                  offsetof(ncclConfig_t, blocking) == offsetof(Nccl_config, blocking) &&
                  sizeof(ncclConfig_t) >= sizeof(Nccl_config),
              "the beginning of a configuration");
static_assert(NCCL_VERSION_CODE >= MILL_NCCL_OLDEST && NCCL_VERSION_CODE < MILL_NCCL_END, "version");
#ifdef NCCL_CONFIG_INITIALIZER
constexpr ncclConfig_t fresh = NCCL_CONFIG_INITIALIZER;
static_assert(fresh.magic == MILL_NCCL_MAGIC, "the mark of a configuration");
#endif
