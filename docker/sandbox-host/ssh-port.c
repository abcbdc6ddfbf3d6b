// Runs `sshd -i` on a virtio-serial port, one connection after the other.
//
// Each sshd is started before its client is there, and waits in the write of its banner: such a write blocks until the
// host's end is open. So a clone of a template wakes with an sshd that has all its start behind it. A read would not
// wait: it returns 0 at once while the host's end is closed, which is also how an sshd learns that its client is gone, in
// a guest whose state was loaded no less than after a disconnect.
//
// sshd does not have the port itself, but a socket whose other end is copied to and from the port here. It would poll two
// descriptors, one for what comes and one for what goes. Linux's virtio_console (6.12, port_fops_poll and in_intr) takes what
// has come out of the queue when *either* is polled, and the interrupt that finds the queue empty wakes nobody: what came just
// then was not read until something else came. One descriptor, polled for both, has no such gap.
//
// To a second port it writes a line before each sshd: whoever connects after that meets the new one and not the last.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// Writes the path of the port's device; which one it is depends on the order of the devices.
static int find_port(const char *name, char *path, size_t size)
{
	glob_t ports;
	int found = 0;

	if (glob("/sys/class/virtio-ports/*/name", 0, NULL, &ports))
		return 0;
	for (size_t i = 0; i < ports.gl_pathc && !found; i++) {
		char line[64] = "", device[64];
		FILE *file = fopen(ports.gl_pathv[i], "r");

		if (!file)
			continue;
		if (fgets(line, sizeof line, file) && sscanf(ports.gl_pathv[i], "/sys/class/virtio-ports/%63[^/]", device) == 1) {
			line[strcspn(line, "\n")] = '\0';
			found = strcmp(line, name) == 0;
			snprintf(path, size, "/dev/%s", device);
		}
		fclose(file);
	}
	globfree(&ports);
	return found;
}

static int open_port(const char *name)
{
	char path[80];
	int port;

	if (!find_port(name, path, sizeof path))
		errx(1, "no virtio-serial port is named %s", name);
	port = open(path, O_RDWR | O_CLOEXEC);
	if (port < 0)
		err(1, "%s", path);
	return port;
}

struct direction {
	int from, to;
	size_t start, end;
	bool ended;
	// What virtio_console takes in one write (port_fops_write).
	char bytes[32768];
};

static bool is_empty(const struct direction *way)
{
	return way->start == way->end;
}

// Moves what can be moved now. Returns false when one side is gone.
static bool move(struct direction *way)
{
	ssize_t count;

	if (is_empty(way) && !way->ended) {
		count = read(way->from, way->bytes, sizeof way->bytes);
		if (count < 0)
			return errno == EAGAIN || errno == EINTR;
		way->start = 0;
		way->end = count;
		way->ended = count == 0;
	}
	if (!is_empty(way)) {
		count = write(way->to, way->bytes + way->start, way->end - way->start);
		if (count < 0)
			return errno == EAGAIN || errno == EINTR;
		way->start += count;
	}
	return !way->ended;
}

// Copies between the port and sshd's socket until one of them is closed.
static void relay(int port, int sshd)
{
	static struct direction in, out;

	in = (struct direction){ .from = port, .to = sshd };
	out = (struct direction){ .from = sshd, .to = port };
	// The banner waits here, and everybody with it, until a client is there.
	if (!move(&out))
		return;
	fcntl(port, F_SETFL, O_NONBLOCK);
	fcntl(sshd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = port, .events = (is_empty(&in) ? POLLIN : 0) | (is_empty(&out) ? 0 : POLLOUT) },
			{ .fd = sshd, .events = (is_empty(&out) ? POLLIN : 0) | (is_empty(&in) ? 0 : POLLOUT) },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (fds[0].revents & POLLHUP)
			return;
		if (!move(&in) || !move(&out))
			return;
	}
}

int main(int argc, char **argv)
{
	int ready;

	if (argc != 3)
		errx(2, "usage: ssh-port SSH_PORT READY_PORT");
	signal(SIGPIPE, SIG_IGN);
	ready = open_port(argv[2]);
	for (;;) {
		// Opened anew each time: the kernel then throws away what the last client left unread.
		int port = open_port(argv[1]);
		int ends[2];
		pid_t child;

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
			err(1, "socketpair");
		if (write(ready, "ready\n", 6) != 6)
			err(1, "%s", argv[2]);
		child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			signal(SIGPIPE, SIG_DFL);
			dup2(ends[1], STDIN_FILENO);
			dup2(ends[1], STDOUT_FILENO);
			execl("/usr/sbin/sshd", "sshd", "-i", NULL);
			err(1, "sshd");
		}
		close(ends[1]);
		relay(port, ends[0]);
		close(ends[0]);
		waitpid(child, NULL, 0);
		close(port);
	}
}
