// Preloaded into the broker: notes how long each file was when it was last synced, so that power.py can cut off what was not.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int (*sync_fn)(int);

static void note(int fd, long long size) {
    const char *path = getenv("FSYNC_LOG");
    struct stat file;
    if (path == NULL || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
        return;
    }
    char link[64], name[PATH_MAX], line[PATH_MAX + 32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t known = readlink(link, name, sizeof name);
    if (known < 0) {
        abort();
    }
    int length = snprintf(line, sizeof line, "%lld %.*s\n", size, (int)known, name);
    int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (log >= 0) {
        if (write(log, line, length) != length) {
            abort();
        }
        close(log);
    }
}

static int synced(const char *name, int fd) {
    sync_fn sync = (sync_fn)dlsym(RTLD_NEXT, name);
    // What is written while the disk is at it may not be on it.
    struct stat before;
    int known = fstat(fd, &before) == 0;
    int result = sync(fd);
    if (result == 0 && known) {
        note(fd, (long long)before.st_size);
    }
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
