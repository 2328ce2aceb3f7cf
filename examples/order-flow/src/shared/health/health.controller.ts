import { Controller, Get } from '@nestjs/common'
import { HealthCheck, type HealthCheckResult, HealthCheckService } from '@nestjs/terminus'
import { TandemHealthIndicator } from '@tandemmq/nestjs'

@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly tandem: TandemHealthIndicator,
  ) {}

  /** 200, or 503 when no broker is connected or a group does not listen. */
  @Get()
  @HealthCheck()
  check(): Promise<HealthCheckResult> {
    return this.health.check([() => this.tandem.isHealthy('tandem')])
  }
}
