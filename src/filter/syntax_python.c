// syntax_python.c: the child process behind syntax_python.h.
// Question: 8 bytes of length, little-endian, then the text. Answer: 2 bytes, the question's number modulo 256 and 'y' or 'n'.
// One socket is the child's standard input and output. The child is in a process group of its own, because an interrupt
// typed at the terminal would otherwise be caught by the bare except around ast.parse and become a verdict.
#include "filter/syntax_python.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/alloc.h"

enum { START_SECONDS = 60, SEND_SECONDS = 60, GREETING_BYTES = 4 + MILL_PYTHON_VERSION_BYTES };

// The collector is off for speed only: syntax trees hold no cycles. The recursion limit stays the interpreter's own.
static const char script[] = "import ast, gc, os, signal, sys\n"
                             "def accepted(data):\n"
                             "    try:\n"
                             "        ast.parse(data.decode('utf-8'))\n"
                             "    except:\n"
                             "        return b'n'\n"
                             "    return b'y'\n"
                             "def main():\n"
                             "    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                             "    gc.disable()\n"
                             "    source = sys.stdin.buffer\n"
                             "    os.write(1, ('mill%-28.28s' % sys.version.split()[0]).encode())\n"
                             "    number = 0\n"
                             "    while True:\n"
                             "        head = source.read(8)\n"
                             "        if len(head) < 8:\n"
                             "            os._exit(0)\n"
                             "        number = (number + 1) % 256\n"
                             "        data = source.read(int.from_bytes(head, 'little'))\n"
                             "        os.write(1, bytes([number]) + accepted(data))\n"
                             "main()\n";

extern char **environ;

struct mill_python {
    char *interpreter;
    uint64_t timeout_ms;
    pid_t pid; // -1: none
    int socket;
    uint8_t number; // of the latest question to this child
    char version[MILL_PYTHON_VERSION_BYTES + 1]; // of the latest child, without the blanks behind it
};

mill_status mill_python_open(const char *interpreter, uint64_t timeout_ms, mill_python **out, mill_error *err)
{
    *out = NULL;
    mill_python *self = mill_alloc_zero(1, sizeof *self);
    if (self == NULL)
        return mill_fail_nomem(err, "opening the syntax check");
    self->interpreter = mill_strdup(interpreter != NULL ? interpreter : "python3");
    if (self->interpreter == NULL) {
        mill_free(self);
        return mill_fail_nomem(err, "opening the syntax check");
    }
    self->timeout_ms = timeout_ms;
    self->pid = -1;
    self->socket = -1;
    *out = self;
    return MILL_OK;
}

// The child keeps nothing that is worth a polite end.
static void stop_child(mill_python *self)
{
    if (self->socket >= 0)
        close(self->socket);
    self->socket = -1;
    if (self->pid > 0) {
        kill(self->pid, SIGKILL);
        while (waitpid(self->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    self->pid = -1;
}

void mill_python_close(mill_python *self)
{
    if (self == NULL)
        return;
    stop_child(self);
    mill_free(self->interpreter);
    mill_free(self);
}

pid_t mill_python_child(const mill_python *self)
{
    return self->pid;
}

// ---- the socket --------------------------------------------------------------------------------------------------------------

typedef enum io_result { IO_DONE, IO_DEAD, IO_SLOW } io_result;

static io_result send_all(int socket, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        const ssize_t sent = send(socket, at, bytes, MSG_NOSIGNAL); // no SIGPIPE for a dead child
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return IO_DEAD;
        at += sent;
        bytes -= (size_t)sent;
    }
    return IO_DONE;
}

static io_result receive_all(int socket, void *data, size_t bytes)
{
    uint8_t *at = data;
    while (bytes > 0) {
        const ssize_t got = recv(socket, at, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return IO_SLOW;
        if (got <= 0)
            return IO_DEAD;
        at += got;
        bytes -= (size_t)got;
    }
    return IO_DONE;
}

static void set_timeout(int socket, int option, uint64_t ms) // 0: wait forever
{
    const struct timeval time = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)setsockopt(socket, SOL_SOCKET, option, &time, sizeof time);
}

// ---- starting ----------------------------------------------------------------------------------------------------------------

// Returns an errno value. glibc's posix_spawn reports a failed exec too.
static int spawn(const mill_python *self, int socket, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if ((failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) ==
            0 &&
        (failed = posix_spawnattr_setpgroup(&attributes, 0)) == 0 &&
        (failed = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
        (failed = posix_spawnattr_setsigdefault(&attributes, &all)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&actions, socket, 0)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&actions, socket, 1)) == 0 &&
        (failed = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)) == 0) {
        // Isolated (-I, -S): neither the environment nor user files change what is parsed.
        const char *arguments[] = {self->interpreter, "-I", "-S", "-W", "ignore", "-c", script, NULL};
        char *copies[8];
        memcpy(copies, arguments, sizeof copies);
        failed = posix_spawnp(pid, self->interpreter, &actions, &attributes, copies, environ);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static mill_status start_child(mill_python *self, mill_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return mill_fail(err, MILL_RESOURCE,
                         "cannot open a socket to the syntax checker: %s; raise the limit of open files (ulimit -n)",
                         strerror(errno));
    const int failed = spawn(self, ends[1], &self->pid);
    close(ends[1]);
    self->socket = ends[0];
    if (failed != 0) {
        self->pid = -1;
        stop_child(self);
        return mill_fail(err, MILL_RESOURCE,
                         "cannot start '%s' for the syntax check: %s; install Python 3, name an interpreter, or set filter.syntax "
                         "to tree-sitter or off",
                         self->interpreter, strerror(failed));
    }
    set_timeout(self->socket, SO_RCVTIMEO, UINT64_C(1000) * START_SECONDS);
    set_timeout(self->socket, SO_SNDTIMEO, UINT64_C(1000) * SEND_SECONDS);
    char greeting[GREETING_BYTES];
    if (receive_all(self->socket, greeting, sizeof greeting) != IO_DONE || memcmp(greeting, "mill", 4) != 0) {
        stop_child(self);
        return mill_fail(err, MILL_RESOURCE,
                         "'%s' does not work as Python 3 for the syntax check; name another interpreter, or set filter.syntax to "
                         "tree-sitter or off",
                         self->interpreter);
    }
    memcpy(self->version, greeting + 4, MILL_PYTHON_VERSION_BYTES);
    self->version[strcspn(self->version, " ")] = '\0';
    set_timeout(self->socket, SO_RCVTIMEO, self->timeout_ms);
    self->number = 0;
    return MILL_OK;
}

// ---- asking ------------------------------------------------------------------------------------------------------------------

static io_result ask(mill_python *self, const uint8_t *text, uint64_t bytes, mill_python_answer *out)
{
    uint8_t head[8], reply[2];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)(bytes >> (8 * i));
    self->number++;
    io_result result = send_all(self->socket, head, sizeof head);
    if (result == IO_DONE)
        result = send_all(self->socket, text, bytes);
    if (result == IO_DONE)
        result = receive_all(self->socket, reply, sizeof reply);
    if (result != IO_DONE)
        return result;
    if (reply[0] != self->number || (reply[1] != 'y' && reply[1] != 'n'))
        return IO_DEAD; // not our script any more
    *out = reply[1] == 'y' ? MILL_PYTHON_ACCEPTED : MILL_PYTHON_REFUSED;
    return IO_DONE;
}

mill_status mill_python_check(mill_python *self, const uint8_t *text, uint64_t bytes, mill_python_answer *out, mill_error *err)
{
    // A child can die for reasons of its own (killed between two questions, out of memory), so a text gets a second one. A
    // text that ends that one too, which was fresh, crashes the interpreter: the guide's check would not have passed it.
    for (int attempt = 0; attempt < 2; attempt++) {
        if (self->pid < 0)
            MILL_TRY(start_child(self, err));
        const io_result result = ask(self, text, bytes, out);
        if (result == IO_DONE)
            return MILL_OK;
        stop_child(self);
        if (result == IO_SLOW) {
            *out = MILL_PYTHON_TIMEOUT;
            return MILL_OK;
        }
    }
    *out = MILL_PYTHON_REFUSED;
    return MILL_OK;
}

void mill_python_version(const char *interpreter, char version[MILL_PYTHON_VERSION_BYTES + 1])
{
    mill_python *python = NULL;
    version[0] = '\0';
    if (mill_python_open(interpreter, 0, &python, NULL) != MILL_OK || python == NULL)
        return;
    if (start_child(python, NULL) == MILL_OK)
        memcpy(version, python->version, sizeof python->version);
    mill_python_close(python);
}
