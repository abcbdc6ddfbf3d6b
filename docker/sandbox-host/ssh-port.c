// Runs `sshd -i` on a virtio-serial port, one connection after the other.
//
// While nobody has the host's end open, a read of such a port returns 0 at once and poll says
// POLLIN together with POLLHUP. An sshd started then would end at once; and one that waited for its
// client through a snapshot would have sent its banner to nobody. So sshd starts only when a client
// is there and has spoken, which an SSH client does first.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

// poll cannot block while POLLHUP stands; the kernel's SIGIO tells when the host's end changes.
static void wait_for_client(int port, const sigset_t *io)
{
	struct pollfd p = { .fd = port, .events = POLLIN };

	fcntl(port, F_SETOWN, getpid());
	fcntl(port, F_SETFL, O_RDWR | O_ASYNC);
	while (poll(&p, 1, 0) < 0 || !(p.revents & POLLIN) || (p.revents & POLLHUP))
		sigwaitinfo(io, NULL);
	fcntl(port, F_SETFL, O_RDWR);
}

int main(int argc, char **argv)
{
	sigset_t io;
	char path[80];

	if (argc != 2)
		errx(2, "usage: ssh-port NAME");
	if (!find_port(argv[1], path, sizeof path))
		errx(1, "no virtio-serial port is named %s", argv[1]);
	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, NULL);
	for (;;) {
		// Opened anew each time: the kernel then throws away what the last client left unread.
		int port = open(path, O_RDWR | O_CLOEXEC);
		if (port < 0)
			err(1, "%s", path);
		wait_for_client(port, &io);
		pid_t child = fork();
		if (child < 0)
			err(1, "fork");
		if (child == 0) {
			sigprocmask(SIG_UNBLOCK, &io, NULL);
			dup2(port, STDIN_FILENO);
			dup2(port, STDOUT_FILENO);
			execl("/usr/sbin/sshd", "sshd", "-i", NULL);
			err(1, "sshd");
		}
		waitpid(child, NULL, 0);
		close(port);
	}
}
